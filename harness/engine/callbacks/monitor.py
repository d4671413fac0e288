"""Which epoch is the best so far: one rule, shared by all who ask."""

from __future__ import annotations

import math
from typing import Literal

from harness.engine.metrics import rises
from harness.engine.trainer import State

Mode = Literal["auto", "min", "max"]


class Monitor:
    """Follows one metric of the history. An equal value is no improvement, so that the earliest of equals is the best.

    `min_delta` is how much better a value must be, in the metric's unit. With mode "auto" the name decides.
    """

    def __init__(self, name: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        rising = rises(name) if mode == "auto" else mode == "max"
        self.name = name
        self._sign = 1.0 if rising else -1.0
        self._min_delta = min_delta
        self._best = -math.inf
        self.best_epoch = 0  # 0: none yet

    def reset(self, state: State) -> None:
        """For on_fit_start. Raises UsageError where the fit will not compute this metric."""
        state.require_metric(self.name)
        self._best, self.best_epoch = -math.inf, 0

    def improved(self, state: State) -> bool:
        """For on_epoch_end: whether the epoch that ends is the best. A value that is not a number never is."""
        value = self._sign * state.history[-1][self.name]
        if math.isnan(value) or value <= self._best + (self._min_delta if self.best_epoch else 0.0):
            return False
        self._best, self.best_epoch = value, state.epoch
        return True
