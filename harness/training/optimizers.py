"""Makes the optimizer, the scheduler and the loss that an experiment names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from harness.config.experiment import Experiment
from harness.engine.metrics import rises
from harness.util.user_code import calling, returned


def make_optimizer(experiment: Experiment, model: nn.Module, loss: object) -> Optimizer:
    """Returns the experiment's optimizer over the trainable parameters of `model`, and of the loss if it has any.

    A function of the user is called like torch's classes: with the parameters, `lr=` and `weight_decay=`.

    Raises UserCodeError if that function fails or does not return an optimizer.
    """
    modules = [model, loss] if isinstance(loss, nn.Module) else [model]
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    options: dict[str, Any] = {"lr": experiment.lr, "weight_decay": experiment.weight_decay}
    match experiment.optimizer:
        case "adam":
            return Adam(parameters, **options)
        case "adamw":
            return AdamW(parameters, **options)
        case "sgd":
            return SGD(parameters, momentum=0.9, **options)
    function: Any = experiment.optimizer
    with calling("optimizer", function):
        optimizer = function(parameters, **options)
    if not isinstance(optimizer, Optimizer):
        raise returned("optimizer", function, optimizer, "a torch.optim.Optimizer over the parameters")
    return optimizer


def make_scheduler(experiment: Experiment) -> tuple[Callable[[Optimizer, int], Any] | None, Literal["epoch", "batch"]]:
    """Returns (make, unit): `make(optimizer, steps)` returns the scheduler, and `unit` says when it steps.

    `make` is None without a scheduler. "plateau" divides the learning rate by 10 after more than 2 epochs without an
    improvement of the monitor.
    """
    match experiment.scheduler:
        case "cosine":
            return CosineAnnealingLR, "batch"
        case "onecycle":
            return _one_cycle, "batch"
        case "plateau":
            mode: Literal["min", "max"] = "max" if rises(experiment.monitor) else "min"
            return lambda optimizer, _: ReduceLROnPlateau(optimizer, mode, factor=0.1, patience=2), "epoch"
    return None if experiment.scheduler is None else functools.partial(_users_scheduler, experiment.scheduler), "epoch"


def _users_scheduler(function: Any, optimizer: Optimizer, epochs: int) -> Any:
    """Returns the scheduler of a user's function. Raises UserCodeError if it fails or returns something else."""
    with calling("scheduler", function):
        scheduler = function(optimizer, epochs)
    if not callable(getattr(scheduler, "step", None)):
        raise returned("scheduler", function, scheduler, "a scheduler: an object with a step()")
    return scheduler


def _one_cycle(optimizer: Optimizer, total: int) -> OneCycleLR:
    """Raises the learning rate and lowers it again (L. N. Smith, 2018). Momentum, if any, changes the other way."""
    has_momentum = "betas" in optimizer.defaults or "momentum" in optimizer.defaults
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total, cycle_momentum=has_momentum)


def make_loss(experiment: Experiment) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the loss function: (logits, targets) -> the mean over the batch."""
    return F.cross_entropy if experiment.loss == "cross_entropy" else experiment.loss  # type: ignore[return-value]
