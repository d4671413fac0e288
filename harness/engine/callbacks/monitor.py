"""Finds the best epoch so far. All callbacks use this one rule."""

from __future__ import annotations

import math
from typing import Any, Literal

from harness.engine.metrics import rises
from harness.engine.trainer import State

Mode = Literal["auto", "min", "max"]


class Monitor:
    """Follows one metric of the history. An equal value is not an improvement: the earliest of equal epochs is best.

    If the fit has an inner part, it follows the metric of that part: `inner_loss` for `valid_loss`.

    Args:
        name: A metric in each row of the history.
        mode: "max" if a higher value is better, or "min"; with "auto" the name decides.
        min_delta: The smallest improvement that counts, in the metric's unit.

    Raises:
        UsageError: The mode is "auto" and the name does not decide.
    """

    def __init__(self, name: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        self.name = self._asked = name
        self._sign = 1.0 if rises(name, mode) else -1.0
        self._min_delta = min_delta
        self._best = -math.inf
        self.best_epoch = 0  # 0: none yet

    def reset(self, state: State) -> None:
        """Must be called in on_fit_start. Raises UsageError if the fit will not compute this metric."""
        self.name = state.steering(self._asked)
        state.require_metric(self.name)
        self._best, self.best_epoch = -math.inf, 0

    def state_dict(self) -> dict[str, float]:
        return {"best": self._best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self.best_epoch = state["best"], state["best_epoch"]

    def improved(self, state: State) -> bool:
        """Must be called in on_epoch_end. Returns whether this epoch is the best so far; never if the value is NaN."""
        value = self._sign * state.history[-1][self.name]
        if math.isnan(value) or value <= self._best + (self._min_delta if self.best_epoch else 0.0):
            return False
        self._best, self.best_epoch = value, state.epoch
        return True
