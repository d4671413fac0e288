"""The learning rates that a fit records: those of the epoch's last step, which made the validated weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def rates_of(optimizer: Optimizer) -> list[Any]:
    """Returns the current learning rate of each parameter group: a number, or a copy of a tensor.

    It copies the tensor because a schedule changes it in place. Does not wait for the device.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    return [rate.detach().clone() if isinstance(rate, Tensor) else rate for rate in rates]


def named_rates(rates: Sequence[Any]) -> dict[str, float]:
    """Returns the rates under the names that they have in a row of the history.

    `lr` is the rate of the first parameter group, `lr_2` that of `optimizer.param_groups[2]`. A group is left out if an
    earlier group has the same rate, so most rows have only `lr`.
    """
    named: dict[str, float] = {}
    for position, rate in enumerate(map(float, rates)):
        if rate not in named.values():
            named[f"lr_{position}" if position else "lr"] = rate
    return named


def is_rate(name: str) -> bool:
    """Returns whether a name in a row of the history is a learning rate."""
    return name == "lr" or (name.startswith("lr_") and name[3:].isdecimal())
