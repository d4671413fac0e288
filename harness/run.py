"""An experiment and a split in, a `Result` out: the one place that wires a fit together."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.callbacks import (
    BestPredictions,
    EarlyStopping,
    FirstBatch,
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
from harness.models.build import build, supports_channels_last
from harness.models.freezing import freeze
from harness.models.weights import Weights, imagenet_weights, weights_from_file
from harness.recipe import make_loss, make_optimizer, make_scheduler

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and Apple, Linux, Windows


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

    def to_dict(self) -> dict[str, Any]:
        """The numbers, for `--json` and `run.json`."""
        return {
            "fold": self.fold,
            "accuracy": self.accuracy.value,
            "n": self.accuracy.n,
            "loss": self.loss,
            "best_epoch": self.best_epoch,
            "epochs": len(self.history),
            "stop_reason": self.stop_reason,
            "checkpoint": str(self.checkpoint),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class PreparedModel:
    """A model with its weights loaded and its prefix frozen, and what its inputs must go through."""

    model: nn.Module
    transform: Transform
    weights_note: str  # what was done about the weights, one sentence
    weights_digest: str | None  # of the data that they were trained on, where they say


def prepare_model(experiment: Experiment, classes: Sequence[str], fold: int) -> PreparedModel:
    """The model of one fold. What is random in it, and in all that follows, is a function of (seed, fold).

    Raises ModelError where the model, its weights, or what to freeze of it cannot be.
    """
    _seed_everything(experiment.seed, fold)
    model = build(experiment.model, len(classes), experiment.image_size)
    weights = _weights(experiment)
    note = "from scratch" if isinstance(experiment.model, str) else "as the experiment's own function makes them"
    if weights is not None:
        note = weights.load_into(model, plain(experiment.model), classes)
    freeze(model, experiment.freeze)
    transform = Transform(experiment.image_size)
    if weights is not None:
        transform = Transform(experiment.image_size, weights.mean, weights.std)
    return PreparedModel(model, transform, note, weights.data_digest if weights else None)


def train(
    experiment: Experiment,
    images: Images,
    split: Split,
    *,
    checkpoints: Path,
    fold: int = 1,
    title: str = "",
    logs: Sequence[Callback] = (),
    shows: Sequence[Callback] = (),
    plots: Path | None = None,
    device: str | torch.device = "auto",
    data_digest: str | None = None,
) -> Result:
    """Trains one model on `split.train`, judges it on `split.valid` each epoch, and keeps its best epoch.

    `logs` are callbacks that see each epoch after those of the experiment, and before anything can end the fit; `shows`
    come after them, and after the first batch has been drawn into the folder `plots`, if one is given. Raises
    HarnessError for anything with a name; what a function of the user's raises propagates unchanged.
    """
    prepared = prepare_model(experiment, images.classes, fold)
    content = _checkpoint_content(experiment, images, prepared.transform, fold) | {"data_digest": data_digest}
    best = BestPredictions(experiment.monitor)
    saver = ModelCheckpoint(checkpoints, experiment.monitor, prefix=f"fold{fold}-", content=content)
    trainer = Trainer(
        copy.deepcopy(make_loss(experiment)),  # it may hold state: each fold begins anew
        [
            *copy.deepcopy(experiment.callbacks),
            *logs,
            *_first_batch(plots, images, prepared.transform, fold),
            *shows,
            TerminateOnNaN(),
            best,
            saver,
            *_optional_callbacks(experiment),
            ProgressBar(title),
        ],
        precision=experiment.precision,
        device=device,
    )
    trainer.channels_last = trainer.device.type != "mps" and supports_channels_last(
        prepared.model, experiment.image_size
    )
    optimizer = make_optimizer(experiment, prepared.model)
    training, validation = _batches(experiment, images, split, prepared.transform, trainer.device)
    started = time.perf_counter()
    try:
        with _named_out_of_memory(experiment, fold, trainer.device):
            state = trainer.fit(prepared.model, optimizer, training, validation, experiment.epochs)
    finally:
        training.close()
        validation.close()
    predictions = _predictions(images, split, fold, best)
    return Result(
        experiment=experiment,
        fold=fold,
        history=tuple(state.history),
        best_epoch=saver.best_epoch,
        stop_reason=state.stop_reason,
        checkpoint=saver.best_path,
        predictions=predictions,
        accuracy=measure(predictions),
        seconds=time.perf_counter() - started,
    )


def choose_workers(asked: int | str, device: torch.device) -> int:
    """How many processes load images. On a CPU they would take from the training what they give."""
    if isinstance(asked, int):
        return asked
    return min(8, max(1, (os.cpu_count() or 1) - 1)) if device.type == "cuda" and sys.platform == "linux" else 0


@contextlib.contextmanager
def _named_out_of_memory(experiment: Experiment, fold: int, device: torch.device) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise TrainingError(
            f"fold {fold} ran out of memory on {device}",
            str(error).splitlines()[0],
            f"-s batch_size={max(1, experiment.batch_size // 2)}",
        ) from error


def _seed_everything(seed: int, fold: int) -> None:
    """Every global generator that a model, a callback or a loss may draw from. Augmentations have their own."""
    words = np.random.SeedSequence((seed, fold)).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(words[1])
    random.seed(int(words[2]))


def _weights(experiment: Experiment) -> Weights | None:
    """Where the model starts from. A function makes its own model: for it, the default "imagenet" means nothing."""
    if experiment.weights is None or (callable(experiment.model) and experiment.weights == "imagenet"):
        return None
    if experiment.weights == "imagenet":
        return imagenet_weights(plain(experiment.model))
    return weights_from_file(Path(experiment.weights))


def _checkpoint_content(experiment: Experiment, images: Images, transform: Transform, fold: int) -> dict[str, Any]:
    """What a checkpoint holds besides the weights: all that it takes to build the model and feed it."""
    return {
        "architecture": plain(experiment.model),
        "classes": list(images.classes),
        "transform": transform.to_dict(),
        "experiment": experiment.to_dict(),
        "fold": fold,
    }


def _first_batch(plots: Path | None, images: Images, transform: Transform, fold: int) -> list[Callback]:
    if plots is None:
        return []
    return [FirstBatch(plots / f"fold{fold}-batch.png", images.classes, transform.picture)]


def _optional_callbacks(experiment: Experiment) -> list[Callback]:
    make, every = make_scheduler(experiment)
    callbacks: list[Callback] = []
    if make is not None:
        callbacks.append(LearningRateSchedule(make, every, experiment.monitor))
    if experiment.patience is not None:
        callbacks.append(EarlyStopping(experiment.monitor, experiment.patience))
    return callbacks


def _batches(
    experiment: Experiment, images: Images, split: Split, transform: Transform, device: torch.device
) -> tuple[Batches, Batches]:
    """(training, validation): each side has its own transform."""
    augment = augmentation(experiment.augment, experiment.image_size)
    workers, pin = choose_workers(experiment.workers, device), device.type == "cuda"
    training = ImageDataset(images, transform, augment, experiment.seed)
    validation = ImageDataset(images, transform, None, experiment.seed)
    return (
        Batches(training, split.train, experiment.batch_size, shuffle=True, workers=workers, pin=pin),
        Batches(validation, split.valid, experiment.batch_size, shuffle=False, workers=workers, pin=pin),
    )


def _predictions(images: Images, split: Split, fold: int, best: BestPredictions) -> tuple[Prediction, ...]:
    if best.logits is None:
        raise TrainingError(
            f"fold {fold} has no best epoch",
            "no epoch ended, or the metric to monitor was never a number",
            "remove the callback that stops the fit at once, or -s monitor=valid_loss",
        )
    labels = torch.tensor([images.labels[i] for i in split.valid])
    if not torch.equal(best.targets, labels):
        raise TrainingError(
            f"the validation of fold {fold} was not of its images",
            "a callback replaced batches of the validation by others, so predictions cannot be told apart",
            'in that callback: if state.phase == "train"',
        )
    return tuple(
        Prediction(images.paths[i], fold, images.classes[images.labels[i]], images.classes[top], tuple(row))
        for i, top, row in zip(
            split.valid, best.logits.argmax(1).tolist(), best.logits.double().softmax(1).tolist(), strict=True
        )
    )
