"""Finds what steers a training by validation metrics. The validation set of the fold must not provide them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from harness.config.experiment import Experiment
from harness.engine.callbacks import LearningRateSchedule
from harness.engine.trainer import Callback

FRACTION = 0.2  # of the training set, if the experiment does not set inner_fraction


def steered_by(experiment: Experiment) -> list[str]:
    """Returns the fields of an experiment that change its training by a validation metric, as typed.

    A callback declares this by its attribute `steers`. One that does not is refused during the fit: `engine/watched`.
    """
    fields = []
    if not experiment.monitor.startswith("train_"):
        if experiment.patience is not None:
            fields.append(f"patience={experiment.patience}")
        if experiment.scheduler == "plateau" or (callable(experiment.scheduler) and _is_plateau(experiment.scheduler)):
            fields.append("scheduler=plateau")
        if experiment.epoch == "best":
            fields.append("epoch=best")
    return fields + [type(callback).__name__ for callback in experiment.callbacks if _steers(callback)]


def inner_fraction(experiment: Experiment) -> float | None:
    """Returns the fraction of the training set that only steers the training; None for no inner part."""
    if experiment.inner_fraction is not None:
        return experiment.inner_fraction
    return FRACTION if steered_by(experiment) else None


def _steers(callback: Callback) -> bool:
    if isinstance(callback, LearningRateSchedule):
        return not callback.monitor.startswith("train_") and _is_plateau(callback.make)
    return callback.steers


def _is_plateau(make: Callable[..., Any]) -> bool:
    """Returns whether a function makes a `ReduceLROnPlateau`. If it fails, other code reports that."""
    with contextlib.suppress(Exception, SystemExit):
        return isinstance(make(SGD([torch.zeros(1, requires_grad=True)], lr=0.1), 2), ReduceLROnPlateau)
    return False
