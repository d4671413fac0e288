"""What the words `optimizer`, `scheduler` and `loss` of an experiment stand for."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from harness.config.experiment import Experiment
from harness.engine.metrics import rises
from harness.errors import ExperimentError, ModelError


def make_optimizer(experiment: Experiment, model: nn.Module) -> Optimizer:
    """The experiment's optimizer over what of `model` is not frozen; a function is called as torch's classes are."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    options: dict[str, Any] = {"lr": experiment.lr, "weight_decay": experiment.weight_decay}
    match experiment.optimizer:
        case "adam":
            return Adam(parameters, **options)
        case "adamw":
            return AdamW(parameters, **options)
        case "sgd":
            return SGD(parameters, momentum=0.9, **options)
    return experiment.optimizer(parameters, **options)  # type: ignore[operator, no-any-return]


def make_scheduler(experiment: Experiment) -> tuple[Callable[[Optimizer, int], Any] | None, Literal["epoch", "batch"]]:
    """(function of the optimizer and the number of steps, how often the scheduler steps); no function for none.

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
    return experiment.scheduler, "epoch"  # type: ignore[return-value]


def _one_cycle(optimizer: Optimizer, total: int) -> OneCycleLR:
    """Up to the learning rate and down again (L. N. Smith, 2018), the momentum against it where there is one."""
    has_momentum = "betas" in optimizer.defaults or "momentum" in optimizer.defaults
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total, cycle_momentum=has_momentum)


def make_loss(experiment: Experiment) -> Callable[[Tensor, Tensor], Tensor]:
    """(logits, targets) -> the mean over the batch."""
    return F.cross_entropy if experiment.loss == "cross_entropy" else experiment.loss  # type: ignore[return-value]


def rehearse(experiment: Experiment, model: nn.Module, classes: int) -> None:
    """Makes the optimizer and the scheduler once, and the loss of two examples, before a run depends on them.

    Raises ExperimentError where a function of the experiment's fails, or gives something else than it should.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("the model has nothing to train", "none of its parameters takes a gradient", "-s freeze=false")
    with _part("optimizer", "(parameters, lr=, weight_decay=) -> Optimizer"):
        optimizer = make_optimizer(experiment, model)
        _require(isinstance(optimizer, Optimizer), optimizer)
    make, _ = make_scheduler(experiment)
    if make is not None:
        with _part("scheduler", "(optimizer, epochs) -> scheduler"):
            scheduler = make(optimizer, max(2, experiment.epochs))
            _require(hasattr(scheduler, "step"), scheduler)
    with _part("loss", "(logits (B, classes), targets (B,)) -> tensor (), the mean over the batch"):
        logits = torch.zeros(2, classes, requires_grad=True)
        loss = copy.deepcopy(make_loss(experiment))(logits, torch.zeros(2, dtype=torch.long))
        _require(isinstance(loss, Tensor) and loss.shape == (), loss)
    with _part("callbacks", "instances that can be copied for each fold"):
        copy.deepcopy(experiment.callbacks)


@contextlib.contextmanager
def _part(name: str, form: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ExperimentError(
            f"{name} does not work", f"{type(error).__name__}: {error}", f"in the experiment file: {name}={form}"
        ) from error


def _require(sound: bool, found: object) -> None:
    if not sound:
        shape = f" {tuple(found.shape)}" if isinstance(found, Tensor) else ""
        raise TypeError(f"it gave a {type(found).__name__}{shape}")
