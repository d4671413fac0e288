from __future__ import annotations

import torch
from torch import Tensor

from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.trainer import Callback, State


class KeptPredictions(Callback):
    """Keeps the validation logits of the last epoch, or of the best one by `monitor`.

    The epoch's metrics were computed from the same logits, so nothing is computed twice.

    Args:
        monitor: The metric that chooses the best epoch; None for the last epoch.
        mode: "max" if a higher value is better, or "min"; with "auto" the metric's name decides.

    Attributes:
        epoch: The epoch of the predictions, from 1; 0 if there is none.
        logits: (N, classes), fp32, on the CPU, in the order of the batches. None before the fit ends.
        targets: (N,), on the CPU, in the same order.

    Raises:
        UsageError: The mode is "auto" and the name does not decide; or, when the fit starts, the metric is unknown.

    Example:
        >>> import harness
        >>> predictions = harness.KeptPredictions("valid_accuracy")
        >>> trainer = harness.Trainer(callbacks=[predictions])
    """

    def __init__(self, monitor: str | None = None, mode: Mode = "auto") -> None:
        self._monitor = None if monitor is None else Monitor(monitor, mode)
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._chosen: list[tuple[Tensor, Tensor]] = []
        self.epoch = 0
        self.logits: Tensor | None = None
        self.targets: Tensor = torch.zeros(0)

    def on_fit_start(self, state: State) -> None:
        if self._monitor is not None:
            self._monitor.reset(state)
        self._batches, self._chosen = [], []
        self.epoch, self.logits, self.targets = 0, None, torch.zeros(0)

    def on_epoch_start(self, state: State) -> None:
        self._batches = []

    def on_batch_end(self, state: State) -> None:
        if state.phase == "valid" and state.logits is not None:
            self._batches.append((state.logits, state.batch[1]))

    def on_epoch_end(self, state: State) -> None:
        if self._monitor is None or self._monitor.improved(state):
            self._chosen, self.epoch = self._batches, state.epoch

    def on_fit_end(self, state: State) -> None:
        if self._chosen:
            logits, targets = zip(*self._chosen, strict=True)
            self.logits, self.targets = torch.cat(logits).cpu(), torch.cat(targets).cpu()
