"""Which epoch is the best so far: one rule, shared by all who ask."""

from __future__ import annotations

import math
from typing import Any, Literal

from harness.engine.metrics import rises
from harness.engine.trainer import State

Mode = Literal["auto", "min", "max"]


class Monitor:
    """Follows one metric of the history. An equal value is no improvement, so that the earliest of equals is the best.

    If the fit has an inner part, the metric is that of the inner part: `inner_loss` for `valid_loss`.

    Args:
        name: A metric in each row of the history.
        mode: Whether "max" or "min" is the best; with "auto" the name tells.
        min_delta: How much better a value must be, in the metric's unit.

    Raises:
        UsageError: The name does not tell what is better.
    """

    def __init__(self, name: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        self.name = self._asked = name
        self._sign = 1.0 if rises(name, mode) else -1.0
        self._min_delta = min_delta
        self._best = -math.inf
        self.best_epoch = 0  # 0: none yet

    def reset(self, state: State) -> None:
        """For on_fit_start. Raises UsageError if the fit will not compute this metric."""
        self.name = state.steering(self._asked)
        state.require_metric(self.name)
        self._best, self.best_epoch = -math.inf, 0

    def state_dict(self) -> dict[str, float]:
        return {"best": self._best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self.best_epoch = state["best"], state["best_epoch"]

    def improved(self, state: State) -> bool:
        """For on_epoch_end: whether the epoch that ends is the best. A value that is not a number never is."""
        value = self._sign * state.history[-1][self.name]
        if math.isnan(value) or value <= self._best + (self._min_delta if self.best_epoch else 0.0):
            return False
        self._best, self.best_epoch = value, state.epoch
        return True
