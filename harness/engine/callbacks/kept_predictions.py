from __future__ import annotations

import torch
from torch import Tensor

from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.trainer import Callback, State


class KeptPredictions(Callback):
    """Keeps an epoch's validation logits, (N, classes), and targets, (N,), in the order of the batches.

    They are the very outputs that the epoch's metrics were computed from, so nothing is computed twice. The epoch is
    the last one, or the best one by `monitor`.
    """

    def __init__(self, monitor: str | None = None, mode: Mode = "auto") -> None:
        self._monitor = None if monitor is None else Monitor(monitor, mode)
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._kept: list[tuple[Tensor, Tensor]] = []
        self.epoch = 0
        self.logits: Tensor | None = None
        self.targets: Tensor = torch.zeros(0)

    def on_fit_start(self, state: State) -> None:
        if self._monitor is not None:
            self._monitor.reset(state)
        self._batches, self._kept = [], []
        self.epoch, self.logits, self.targets = 0, None, torch.zeros(0)

    def on_epoch_start(self, state: State) -> None:
        self._batches = []

    def on_batch_end(self, state: State) -> None:
        if state.phase == "valid" and state.logits is not None:
            self._batches.append((state.logits, state.batch[1]))

    def on_epoch_end(self, state: State) -> None:
        if self._monitor is None or self._monitor.improved(state):
            self._kept, self.epoch = self._batches, state.epoch

    def on_fit_end(self, state: State) -> None:
        if self._kept:
            logits, targets = zip(*self._kept, strict=True)
            self.logits, self.targets = torch.cat(logits).cpu(), torch.cat(targets).cpu()
