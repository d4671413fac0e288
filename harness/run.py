"""An experiment and a split in, a `Result` out: the one place that wires a fit together."""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.callbacks import (
    BestPredictions,
    EarlyStopping,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.data.folders import Images
from harness.data.loading import Batches, ImageDataset
from harness.data.splits import Split
from harness.data.transforms import Transform, augmentation
from harness.engine import Callback, Trainer
from harness.errors import TrainingError
from harness.evaluate import Accuracy, Prediction, measure
from harness.experiment import Experiment
from harness.fields import plain
from harness.models.build import bears_channels_last, build
from harness.models.freezing import freeze
from harness.models.weights import load_weights, normalisation
from harness.recipe import make_loss, make_optimizer, make_scheduler


@dataclass(frozen=True)
class Result:
    """One fit: its best epoch, and what that epoch's weights said of each validation image."""

    experiment: Experiment
    fold: int  # 1-based
    history: tuple[dict[str, float], ...]  # one row per epoch
    best_epoch: int  # 1-based; its weights are the checkpoint's, its numbers the ones reported
    stop_reason: str | None
    checkpoint: Path
    predictions: tuple[Prediction, ...]
    accuracy: Accuracy
    seconds: float  # training with validation, decoding included

    @property
    def loss(self) -> float:
        """The validation loss of the best epoch, a mean over images."""
        return self.history[self.best_epoch - 1]["valid_loss"]


def prepare_model(experiment: Experiment, classes: Sequence[str], fold: int) -> tuple[nn.Module, str]:
    """The model of one fold, weights loaded and prefix frozen, and what there is to say of its weights.

    What is random in it is a function of (seed, fold). Raises ModelError.
    """
    torch.manual_seed(int(np.random.SeedSequence((experiment.seed, fold)).generate_state(1)[0]))
    model = build(experiment.model, len(classes), experiment.image_size)
    said = "no weights loaded: from scratch"
    if callable(experiment.model):
        said = "weights as the experiment's function makes them"
    source = weights_source(experiment)
    if source is not None:
        said = load_weights(model, plain(experiment.model), source, classes)
    freeze(model, experiment.freeze)
    return model, said


def weights_source(experiment: Experiment) -> str | None:
    """Where weights come from. A function makes its own model: for it, "imagenet" by default means nothing to load."""
    if callable(experiment.model) and experiment.weights == "imagenet":
        return None
    return experiment.weights


def make_transform(experiment: Experiment) -> Transform:
    mean, std = normalisation(experiment.model, weights_source(experiment))
    return Transform(experiment.image_size, mean, std)


def train(
    experiment: Experiment,
    images: Images,
    split: Split,
    *,
    checkpoints: Path,
    fold: int = 1,
    title: str = "",
    callbacks: Sequence[Callback] = (),
    device: str | torch.device = "auto",
) -> Result:
    """Trains one model on `split.train`, judges it on `split.valid` each epoch, and keeps its best epoch.

    Raises HarnessError for anything with a name; what a function of the user's raises propagates unchanged.
    """
    model, _ = prepare_model(experiment, images.classes, fold)
    transform = make_transform(experiment)
    best = BestPredictions(experiment.monitor)
    content = {
        "architecture": plain(experiment.model),
        "classes": list(images.classes),
        "transform": transform.to_dict(),
        "experiment": experiment.to_dict(),
        "fold": fold,
    }
    make, every = make_scheduler(experiment)
    schedule = [LearningRateSchedule(make, every, experiment.monitor)] if make else []
    saver = ModelCheckpoint(checkpoints, experiment.monitor, prefix=f"fold{fold}-", content=content)
    trainer = Trainer(
        make_loss(experiment),
        [
            TerminateOnNaN(),
            best,
            saver,
            *schedule,
            *([EarlyStopping(experiment.monitor, experiment.patience)] if experiment.patience else []),
            *copy.deepcopy(experiment.callbacks),
            *callbacks,
            ProgressBar(title),
        ],
        precision=experiment.precision,
        device=device,
        channels_last=bears_channels_last(model, experiment.image_size),
    )
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training, validation = _batches(experiment, images, split, transform, trainer.device)
    started = time.perf_counter()
    try:
        state = trainer.fit(model, make_optimizer(experiment, trainable), training, validation, experiment.epochs)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"fold {fold} ran out of memory on {trainer.device}",
            str(error).splitlines()[0],
            f"-s batch_size={max(1, experiment.batch_size // 2)}",
        ) from error
    finally:
        training.close()
        validation.close()
    predictions = _predictions(images, split, fold, best)
    return Result(
        experiment,
        fold,
        tuple(state.history),
        saver.best_epoch,
        state.stop_reason,
        saver.best_path,
        predictions,
        measure(predictions, images.classes),
        time.perf_counter() - started,
    )


def choose_workers(asked: int | str, device: torch.device) -> int:
    """How many processes load images. On a CPU they would take from the training what they give."""
    if isinstance(asked, int):
        return asked
    return min(8, max(1, (os.cpu_count() or 1) - 1)) if device.type == "cuda" and sys.platform == "linux" else 0


def _predictions(images: Images, split: Split, fold: int, best: BestPredictions) -> tuple[Prediction, ...]:
    if best.logits is None:
        raise TrainingError(
            f"fold {fold} has no best epoch",
            "no epoch ended, or the metric to monitor was never a number",
            "remove the callback that stops the fit at once, or -s monitor=valid_loss",
        )
    probabilities = best.logits.double().softmax(1).tolist()
    return tuple(
        Prediction(images.paths[i], fold, images.classes[images.labels[i]], tuple(row))
        for i, row in zip(split.valid, probabilities, strict=True)
    )


def _batches(
    experiment: Experiment, images: Images, split: Split, transform: Transform, device: torch.device
) -> tuple[Batches, Batches]:
    augment = augmentation(experiment.augment, experiment.image_size)
    plain_images = ImageDataset(images, transform, None, experiment.seed)
    changed_images = plain_images if augment is None else ImageDataset(images, transform, augment, experiment.seed)
    workers, pin = choose_workers(experiment.workers, device), device.type == "cuda"
    size = experiment.batch_size
    return (
        Batches(changed_images, split.train, size, shuffle=True, workers=workers, pin=pin),
        Batches(plain_images, split.valid, size, shuffle=False, workers=workers, pin=pin),
    )


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
