"""What steers a training by metrics of validation, so that the fold that is judged may not give them."""

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

FRACTION = 0.2  # of the training images, if the experiment does not say


def steered_by(experiment: Experiment) -> list[str]:
    """Which fields of an experiment change its training by a metric of validation, as they are typed.

    A callback says it by its attribute `steers`. Another one that does so is refused during the fit: `engine/watched`.
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
    """The share of the training images that only steers the training; None for no inner part."""
    if experiment.inner_fraction is not None:
        return experiment.inner_fraction
    return FRACTION if steered_by(experiment) else None


def _steers(callback: Callback) -> bool:
    if isinstance(callback, LearningRateSchedule):
        return not callback.monitor.startswith("train_") and _is_plateau(callback.make)
    return callback.steers


def _is_plateau(make: Callable[..., Any]) -> bool:
    """Whether a function makes a schedule that waits for a plateau. One that fails is refused elsewhere."""
    with contextlib.suppress(Exception, SystemExit):
        return isinstance(make(SGD([torch.zeros(1, requires_grad=True)], lr=0.1), 2), ReduceLROnPlateau)
    return False
