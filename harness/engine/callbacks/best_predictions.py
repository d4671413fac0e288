from __future__ import annotations

import torch
from torch import Tensor

from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.trainer import Callback, State


class BestPredictions(Callback):
    """Keeps the best epoch's validation logits, (N, classes), and targets, (N,), in the order of the batches.

    They are the very outputs that the epoch's metrics were counted from, so nothing is computed twice.
    """

    def __init__(self, monitor: str = "valid_loss", mode: Mode = "auto") -> None:
        self._monitor = Monitor(monitor, mode)
        self._batches: list[tuple[Tensor, Tensor]] = []
        self.logits: Tensor | None = None
        self.targets: Tensor = torch.zeros(0)

    @property
    def best_epoch(self) -> int:
        return self._monitor.best_epoch

    def on_fit_start(self, state: State) -> None:
        self._monitor.reset(state)
        self._batches, self.logits, self.targets = [], None, torch.zeros(0)

    def on_epoch_start(self, state: State) -> None:
        self._batches = []

    def on_batch_end(self, state: State) -> None:
        if state.phase == "valid" and state.logits is not None:
            self._batches.append((state.logits, state.batch[1]))

    def on_epoch_end(self, state: State) -> None:
        if self._monitor.improved(state):
            logits, targets = zip(*self._batches, strict=True)
            self.logits, self.targets = torch.cat(logits).cpu(), torch.cat(targets).cpu()
