"""An experiment and a split in, a `Result` out: the one place that wires a fit together."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.cache.store import Cache, open_cache
from harness.config.experiment import Experiment
from harness.config.fields import plain
from harness.data.check import check_images
from harness.data.folders import Images
from harness.data.pixels import Pixels
from harness.data.splits import Split
from harness.engine.callbacks import (
    BestPredictions,
    EarlyStopping,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.trainer import Callback, Trainer
from harness.errors import TrainingError
from harness.evaluation.accuracy import Accuracy, Prediction, measure
from harness.training.batches import feed
from harness.training.compiled import compile_model
from harness.training.first_batch import FirstBatch
from harness.training.optimizers import make_loss, make_optimizer, make_scheduler
from harness.training.prepared import PreparedModel, prepare_model
from harness.util.console import say
from harness.util.memory import keep_freed_memory

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
    ends: Sequence[Callback] | None = None,
    plots: Path | None = None,
    keep_last: bool = True,
    device: str | torch.device = "auto",
    data_digest: str | None = None,
    pixels: Pixels | None = None,
    cache: Cache | None = None,
) -> Result:
    """Trains one model on `split.train`, judges it on `split.valid` each epoch, and keeps its best epoch.

    `logs` are callbacks that see each epoch after those of the experiment, and before anything can end the fit; `shows`
    come after them, and after the first batch has been drawn into the folder `plots`, if one is given. `ends` come
    last, and are by default a progress bar. Without `keep_last` the last epoch has no checkpoint. `pixels` are the
    decoded images, where they are at hand. Raises HarnessError for anything with a name; what a function of the user's
    raises propagates unchanged.
    """
    started = time.perf_counter()
    pixels = pixels or check_images(images, experiment.image_size).pixels
    assert pixels is not None
    prepared = prepare_model(experiment, images.classes, fold)
    bare = Trainer(precision=experiment.precision, device=device)
    bare.channels_last = bare.device.type != "mps" and prepared.channels_last
    if bare.device.type == "cpu":
        keep_freed_memory()
    with _named_out_of_memory(experiment, fold, bare.device), contextlib.ExitStack() as stack:
        fed = feed(experiment, prepared, pixels, split, bare, cache or open_cache(say))
        stack.callback(fed.close)
        content = _checkpoint_content(experiment, images, prepared, fold) | {"data_digest": data_digest}
        best = BestPredictions(experiment.monitor)
        saver = ModelCheckpoint(checkpoints, experiment.monitor, prefix=f"fold{fold}-", content=content, last=keep_last)
        first = (
            FirstBatch(plots / f"fold{fold}-batch.png", images.classes, prepared.transform.picture, fed.images)
            if plots
            else None
        )
        trainer = Trainer(
            copy.deepcopy(make_loss(experiment)),  # it may hold state: each fold begins anew
            [
                *copy.deepcopy(experiment.callbacks),
                *fed.guards,
                *logs,
                *([first] if first else []),
                *shows,
                TerminateOnNaN(),
                best,
                saver,
                *_optional_callbacks(experiment),
                *([ProgressBar(title)] if ends is None else ends),
            ],
            precision=experiment.precision,
            device=device,
            channels_last=bare.channels_last,
        )
        if experiment.compile:
            fed.training.set_epoch(1)
            say(f"{title}  {compile_model(prepared.model, trainer, next(iter(fed.training)))}".strip())
        optimizer = make_optimizer(experiment, prepared.model)
        if fed.light and bare.device.type == "cpu":
            stack.enter_context(_one_thread())
        state = trainer.fit(prepared.model, optimizer, fed.training, fed.validation, experiment.epochs)
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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads of OpenMP wait for each other in a loop: where another program has one of the cores, a step of
    microseconds takes ten times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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


def _checkpoint_content(experiment: Experiment, images: Images, prepared: PreparedModel, fold: int) -> dict[str, Any]:
    """What a checkpoint holds besides the weights: all that it takes to build the model and feed it."""
    return {
        "architecture": plain(experiment.model),
        "classes": list(images.classes),
        "transform": prepared.transform.to_dict(),
        "experiment": experiment.to_dict(),
        "fold": fold,
    }


def _optional_callbacks(experiment: Experiment) -> list[Callback]:
    make, every = make_scheduler(experiment)
    callbacks: list[Callback] = []
    if make is not None:
        callbacks.append(LearningRateSchedule(make, every, experiment.monitor))
    if experiment.patience is not None:
        callbacks.append(EarlyStopping(experiment.monitor, experiment.patience))
    return callbacks


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
