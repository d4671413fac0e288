"""What the words `optimizer`, `scheduler` and `loss` of an experiment stand for."""

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
    """The experiment's optimizer over the trainable parameters of `model`, and of a loss that has such.

    A user's function is called as torch's classes are: with the parameters, `lr=` and `weight_decay=`.

    Raises UserCodeError where that function fails, or returns no optimizer.
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
    """Returns (maker, unit): `maker(optimizer, steps)` builds the scheduler, or is None; the unit is a step's.

    "plateau" divides the rate by 10 once the monitor has not improved for more than 2 epochs.
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
    """What a user's function makes. Raises UserCodeError where it fails, or returns no scheduler."""
    with calling("scheduler", function):
        scheduler = function(optimizer, epochs)
    if not callable(getattr(scheduler, "step", None)):
        raise returned("scheduler", function, scheduler, "a scheduler: an object with a step()")
    return scheduler


def _one_cycle(optimizer: Optimizer, total: int) -> OneCycleLR:
    """Up to the learning rate and down again (L. N. Smith, 2018), the momentum against it where there is one."""
    has_momentum = "betas" in optimizer.defaults or "momentum" in optimizer.defaults
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total, cycle_momentum=has_momentum)


def make_loss(experiment: Experiment) -> Callable[[Tensor, Tensor], Tensor]:
    """(logits, targets) -> the mean over the batch."""
    return F.cross_entropy if experiment.loss == "cross_entropy" else experiment.loss  # type: ignore[return-value]
