"""Trains one fold of a `Plan`. This is the only place that puts the parts of a fit together."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.data.splits import Split
from harness.engine.callbacks import (
    EarlyStopping,
    KeptPredictions,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.checkpoint import MODEL_FILE
from harness.engine.shared_weights import SharedWeights
from harness.engine.trainer import Callback, State, Trainer
from harness.engine.watched import watched
from harness.errors import TrainingError
from harness.evaluation.accuracy import Accuracy
from harness.evaluation.predictions import Predictions
from harness.models.saved import TRAINED_ON
from harness.runs.record_parts import FoldRecord
from harness.runs.run_folder import RunFolder
from harness.training.batches import FitBatches, fit_batches
from harness.training.compile_model import compile_model
from harness.training.epoch_metrics import epoch_metrics
from harness.training.first_batch import FirstBatch
from harness.training.model import new_model
from harness.training.optimizers import make_loss, make_optimizer, make_scheduler
from harness.training.plan import Plan
from harness.training.saved_fit import fit_checkpoint, saved_fit
from harness.training.torch_errors import naming_torch_errors
from harness.training.user_errors import blamed
from harness.util.console import print_line
from harness.util.memory import keep_freed_memory
from harness.util.text import short_repr

REFIT = 0  # the fold number of the fit on all images


@dataclass(frozen=True)
class FoldResult:
    """The result of one fit: the saved model, and its predictions for the validation set.

    Attributes:
        fold: From 1. With repeats, the numbers continue: fold 1 of the second repeat follows the last fold.
        history: One row of metrics per epoch.
        epoch: From 1: the epoch of the checkpoint's weights and of the reported numbers. It is the last epoch, or the
            best one on the inner part. The validation set never chooses it.
        stop_reason: Why the fit ended before its last epoch; None if it did not.
        checkpoint: The file of the model.
        predictions: For the validation set.
        seconds: Time of training and validation, with image decoding.
    """

    fold: int
    history: tuple[dict[str, float], ...]
    epoch: int
    stop_reason: str | None
    checkpoint: Path
    predictions: Predictions
    seconds: float

    def __repr__(self) -> str:
        return short_repr(self, f"fold {self.fold}: accuracy {self.accuracy}; epoch {self.epoch}; {self.checkpoint}")

    @property
    def accuracy(self) -> Accuracy:
        return self.predictions.accuracy

    @property
    def loss(self) -> float:
        """The experiment's loss on the validation set, a mean over images."""
        return self.history[self.epoch - 1]["valid_loss"]

    @property
    def record(self) -> FoldRecord:
        """The numbers that `run.json` holds."""
        return FoldRecord(
            fold=self.fold,
            accuracy=self.accuracy.value,
            n=self.accuracy.n,
            loss=self.loss,
            epoch=self.epoch,
            epochs=len(self.history),
            stop_reason=self.stop_reason,
            checkpoint=str(self.checkpoint),
            seconds=round(self.seconds, 3),
        )


@dataclass(frozen=True)
class Fit:
    """A trained model and its file.

    Attributes:
        state: The final state of the fit.
        epoch: The epoch of the weights in the file, from 1.
        checkpoint: The file.
        predictions: Those of that epoch for the validation set, if there is one.
        seconds: Time of the whole fit, with image decoding.
    """

    state: State
    epoch: int
    checkpoint: Path
    predictions: KeptPredictions
    seconds: float


def train(
    plan: Plan,
    fold: int,
    folder: RunFolder,
    watchers: Sequence[Callback] = (),
    ends: Sequence[Callback] | None = None,
) -> FoldResult:
    """Trains one model on a fold's training set and evaluates it on the fold's validation set.

    The model is that of the last epoch, or of the best epoch on the fold's inner part.

    Args:
        plan: All decisions of the run.
        fold: A key of `plan.splits`.
        folder: Gets the checkpoints and the plot of the first batch.
        watchers: Callbacks that run after those of the experiment and before those that can end the fit.
        ends: The last callbacks; by default a progress bar.

    Returns:
        The metrics of each epoch, the checkpoint and the predictions.

    Raises:
        TrainingError: The memory is full, the loss is NaN or infinite, or no epoch ended.
        UserCodeError: A function of the experiment failed.
        UsageError: A callback steers the training by the validation set.
        HarnessError: Other errors of the data, the model or the disk.

    Example:
        >>> import pathlib, harness
        >>> from harness.runs.run_folder import RunFolder
        >>> from harness.workflows.new_record import record_of
        >>> plan = harness.make_plan(harness.load("experiments/quickstart.py"))
        >>> folder = RunFolder.create(pathlib.Path("runs"), record_of(plan))
        >>> harness.train(plan, 1, folder).epoch
        1
    """
    done = fit(plan, fold, plan.splits[fold], folder, watchers, ends)
    return FoldResult(
        fold=fold,
        history=tuple(done.state.history),
        epoch=done.epoch,
        stop_reason=done.state.stop_reason,
        checkpoint=done.checkpoint,
        predictions=_predictions(plan, fold, done.predictions),
        seconds=done.seconds,
    )


def fit(
    plan: Plan,
    fold: int,
    split: Split,
    folder: RunFolder,
    watchers: Sequence[Callback] = (),
    ends: Sequence[Callback] | None = None,
) -> Fit:
    """Trains a model on the training set of a split. Parameters and errors are those of `train`.

    `fold` is the seed and names the file; REFIT is the fit on all images, in MODEL_FILE. If the folder holds a saved
    state of this fold, the fit resumes there. `RunFolder.end_fit` removes that state.
    """
    saved = saved_fit(folder, fold)
    started = time.perf_counter() - (0.0 if saved is None else saved.seconds)
    experiment = plan.experiment
    model = new_model(experiment, plan.model.weights, plan.images.classes, fold)
    arithmetic: Any = {"precision": plan.precision, "device": plan.device, "channels_last": plan.model.channels_last}
    if plan.device.type == "cpu":
        keep_freed_memory()
    naming = naming_torch_errors(f"fold {fold}" if fold else "the refit", experiment.batch_size, plan.device)
    mode: Any = experiment.monitor_mode
    with blamed(experiment), naming, contextlib.ExitStack() as stack:
        fed = fit_batches(plan, split, model, Trainer(**arithmetic), plan.seed_of(fold))
        stack.callback(fed.close)
        predictions = KeptPredictions(plan.kept_by, mode)
        saver = ModelCheckpoint(
            folder.checkpoints / (f"fold{fold}.pt" if fold else MODEL_FILE),
            plan.kept_by,
            mode,
            content=_checkpoint_content(plan, fold),
            shared=SharedWeights(folder.checkpoints) if fold else None,  # the refit's file must need no other file
        )
        trainer = Trainer(
            copy.deepcopy(make_loss(experiment)),  # it may have a state, and each fold starts with a new one
            [
                *epoch_metrics(experiment, plan.images.classes),
                *(watched(callback) for callback in copy.deepcopy(experiment.callbacks)),
                *fed.guards,
                *_first_batch(plan, fold, folder, fed),
                *watchers,
                TerminateOnNaN(),
                predictions,
                saver,
                *_optional_callbacks(experiment),
                *([ProgressBar(plan.title(fold))] if ends is None else ends),
                fit_checkpoint(folder, fold, started),
            ],
            **arithmetic,
        )
        if experiment.compile:
            fed.training.set_epoch(1)
            print_line(f"{plan.title(fold)}  {compile_model(model, trainer, next(iter(fed.training)))}")
        optimizer = make_optimizer(experiment, model, trainer.loss)
        if plan.one_thread:
            stack.enter_context(_one_thread())
        resume = None if saved is None else saved.state
        state = trainer.fit(model, optimizer, fed.training, fed.validation, experiment.epochs, fed.inner, resume)
    if saver.epoch == 0:
        raise TrainingError(
            f"{plan.title(fold)} has no model",
            "no epoch ended, or the metric that chooses the epoch was always NaN",
            "remove the callback that stops the fit at once, or -s epoch=last",
        )
    return Fit(state, saver.epoch, saver.path, predictions, time.perf_counter() - started)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Uses one torch thread. OpenMP threads wait for each other in a busy loop, so short steps take 10 times as long
    if another program uses one of the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _checkpoint_content(plan: Plan, fold: int) -> dict[str, Any]:
    """Returns what a checkpoint holds besides the weights: what is needed to build the model and prepare its images."""
    return {
        "is_refit": fold == REFIT,
        "architecture": json_value(plan.experiment.model),
        "classes": list(plan.images.classes),
        "transform": plan.model.transform.to_dict(),
        "experiment": plan.experiment.to_dict(),
        "fold": fold or None,
        "data_digest": plan.digest,
        TRAINED_ON: torch.from_numpy(plan.fingerprints),
    }


def _first_batch(plan: Plan, fold: int, folder: RunFolder, fed: FitBatches) -> list[Callback]:
    if plan.lean or fold == REFIT:
        return []
    picture = folder.plots / f"fold{fold}-batch.png"
    return [FirstBatch(picture, plan.images.classes, plan.model.transform.picture, fed.images)]


def _optional_callbacks(experiment: Experiment) -> list[Callback]:
    make, every = make_scheduler(experiment)
    callbacks: list[Callback] = []
    if make is not None:
        callbacks.append(LearningRateSchedule(make, every, experiment.monitor))
    if experiment.patience is not None:
        mode: Any = experiment.monitor_mode
        callbacks.append(EarlyStopping(experiment.monitor, experiment.patience, mode))
    return callbacks


def _predictions(plan: Plan, fold: int, predictions: KeptPredictions) -> Predictions:
    assert predictions.logits is not None
    images, valid = plan.images, plan.splits[fold].valid
    labels = np.array([images.labels[i] for i in valid], np.int64)
    if not np.array_equal(predictions.targets.numpy(), labels):
        raise TrainingError(
            f"the validation of fold {fold} did not use its images",
            "a callback replaced validation batches, so predictions cannot be assigned to images",
            'change batches in that callback only if state.phase == "train"',
        )
    paths = tuple(images.paths[i] for i in valid)
    probabilities = predictions.logits.double().softmax(1).numpy()
    groups = None if plan.groups is None else plan.groups[list(valid)]
    if groups is None and plan.experiment.repeats > 1:
        groups = np.array(valid, np.int64)  # one group per image: the models of all repeats predict it
    prints = plan.fingerprints[list(valid)]
    return Predictions(images.classes, paths, np.full(len(paths), fold), labels, probabilities, groups, prints)
