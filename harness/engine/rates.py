"""Learning rates as a fit records them: those of the epoch's last step, which made the weights that are validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def rates_of(optimizer: Optimizer) -> list[Any]:
    """The learning rate of each parameter group now: a number, or a copy of a tensor that a schedule changes in place.

    Does not wait for the device.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    return [rate.detach().clone() if isinstance(rate, Tensor) else rate for rate in rates]


def named_rates(rates: Sequence[Any]) -> dict[str, float]:
    """The rates as a row of the history has them.

    `lr` is the rate of the first parameter group, and `lr_2` that of `optimizer.param_groups[2]`. A group is left out
    if an earlier one has the same rate, so most rows have `lr` alone.
    """
    named: dict[str, float] = {}
    for position, rate in enumerate(map(float, rates)):
        if rate not in named.values():
            named[f"lr_{position}" if position else "lr"] = rate
    return named


def is_rate(name: str) -> bool:
    """Whether a number of a row is a learning rate."""
    return name == "lr" or (name.startswith("lr_") and name[3:].isdecimal())
