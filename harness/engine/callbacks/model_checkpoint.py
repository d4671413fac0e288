from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.engine import checkpoint
from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.shared_weights import SharedWeights
from harness.engine.trainer import Callback, State

PAUSE_SECONDS = 30.0  # minimum time between two writes: an epoch may be shorter than writing its checkpoint


class ModelCheckpoint(Callback):
    """Saves the model of the last epoch, or of the best one by `monitor`.

    It writes when the fit ends, also after a failure, and every 30 seconds during a long fit. The file's `epoch` and
    `metrics` belong to the saved weights.

    Args:
        path: The file.
        monitor: The metric that chooses the epoch; None for the last epoch.
        mode: "max" if a higher value is better, or "min"; with "auto" the metric's name decides.
        content: Values to add to the checkpoint. If the loss or a metric is a module, its state is added as `modules`.
        shared: Weights that other checkpoints of the folder share. They are written once, to a file beside them.

    Raises:
        UsageError: The mode is "auto" and the name does not decide; or, when the fit starts, the metric is unknown.
        StorageError: During the fit: the file cannot be written.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.ModelCheckpoint("best.pt", monitor="valid_accuracy")])
    """

    def __init__(
        self,
        path: Path | str,
        monitor: str | None = None,
        mode: Mode = "auto",
        content: dict[str, Any] | None = None,
        shared: SharedWeights | None = None,
    ) -> None:
        self.path = Path(path)
        self._shared = shared
        self._content = content or {}
        self._monitor = None if monitor is None else Monitor(monitor, mode)
        self._best: dict[str, Any] | None = None  # the content for the best epoch
        self._is_written = False
        self._written = 0.0
        self._last_epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch of the saved weights, from 1; 0 before the first epoch ends."""
        return self._last_epoch if self._monitor is None else self._monitor.best_epoch

    def on_fit_start(self, state: State) -> None:
        if self._monitor is not None:
            self._monitor.reset(state)
        self._best, self._is_written, self._last_epoch = None, False, 0
        self._written = time.monotonic()
        if self._shared is not None:
            self._shared.begin(state.model)

    def state_dict(self) -> dict[str, Any]:
        """Includes the weights of the best epoch, because the file may be from a later epoch when the fit resumes."""
        best = self._best and {name: value for name, value in self._best.items() if name not in self._content}
        monitor = None if self._monitor is None else self._monitor.state_dict()
        return {"best": best, "monitor": monitor, "last_epoch": self._last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self._best, self._is_written = best and {**self._content, **best}, False
        self._last_epoch = state_dict["last_epoch"]
        if self._monitor is not None:
            self._monitor.load_state_dict(state_dict["monitor"])

    def on_epoch_end(self, state: State) -> None:
        self._last_epoch = state.epoch
        if self._monitor is not None and self._monitor.improved(state):
            self._best, self._is_written = self._snapshot(state), False
        if time.monotonic() - self._written >= PAUSE_SECONDS:
            self._write(state)

    def on_fit_end(self, state: State) -> None:
        if state.step > 0:
            self._write(state)

    def _write(self, state: State) -> None:
        content = self._snapshot(state) if self._monitor is None else self._best
        if content is not None and not self._is_written:
            checkpoint.save(self.path, content)
            self._written = time.monotonic()
            self._is_written = self._monitor is not None

    def _snapshot(self, state: State) -> dict[str, Any]:
        weights = state.model.state_dict()
        model = {"model": weights} if self._shared is None else self._shared.without(weights)
        model["model"] = _copied(model["model"])
        metrics = dict(state.history[-1]) if state.history else {}
        content = {**self._content, **model, "epoch": len(state.history), "metrics": metrics}
        states = {name: _copied(module.state_dict()) for name, module in state.modules.items()}
        modules = {name: values for name, values in states.items() if values}
        return content | ({"modules": modules} if modules else {})


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """Copies tensors to the CPU, because training changes them. Keeps a module's extra state unchanged."""
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
        for name, value in state.items()
    }
