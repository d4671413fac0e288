"""What the words `optimizer`, `scheduler` and `loss` of an experiment stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from harness.experiment import Experiment

MakeScheduler = Callable[[Optimizer, int], Any]


def make_optimizer(experiment: Experiment, parameters: list[nn.Parameter]) -> Optimizer:
    """The experiment's optimizer over `parameters`; a function of the user's is called as torch's own classes are."""
    options: dict[str, Any] = {"lr": experiment.lr, "weight_decay": experiment.weight_decay}
    match experiment.optimizer:
        case "adam":
            return Adam(parameters, **options)
        case "adamw":
            return AdamW(parameters, **options)
        case "sgd":
            return SGD(parameters, momentum=0.9, **options)
    return experiment.optimizer(parameters, **options)  # type: ignore[operator, no-any-return]


def make_scheduler(experiment: Experiment) -> tuple[MakeScheduler | None, Literal["epoch", "batch"]]:
    """(function of the optimizer and the number of steps, how often the scheduler steps); no function for none."""
    match experiment.scheduler:
        case "cosine":
            return CosineAnnealingLR, "batch"
        case "onecycle":
            return lambda optimizer, total: OneCycleLR(optimizer, experiment.lr, total_steps=total), "batch"
        case "plateau":
            mode: Literal["min", "max"] = "max" if experiment.monitor.endswith("accuracy") else "min"
            return lambda optimizer, _: ReduceLROnPlateau(optimizer, mode, factor=0.1, patience=2), "epoch"
    return experiment.scheduler, "epoch"  # type: ignore[return-value]


def make_loss(experiment: Experiment) -> Callable[[Tensor, Tensor], Tensor]:
    """(logits, targets) -> the mean over the batch."""
    return F.cross_entropy if experiment.loss == "cross_entropy" else experiment.loss  # type: ignore[return-value]
