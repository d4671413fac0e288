from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.engine import checkpoint
from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.trainer import Callback, State

PAUSE_SECONDS = 10.0  # at least, between two times that `best` is written: epochs may be shorter than writing it


class ModelCheckpoint(Callback):
    """Saves `<prefix>best.pt` when `monitor` has improved, and `<prefix>last.pt` when the fit ends, however it ends.

    `best` is for using the model; it is written ten seconds after the last time at the earliest, and in any case when
    the fit ends. `last` is where the fit ended, and also holds the optimizer; its `epoch` and `metrics` are those of
    the last epoch that was completed. `content` is added to both, and so is
    what a loss or a metric that is a module has to save, as `modules`. Without `last` there is no such file.
    """

    def __init__(
        self,
        folder: Path | str,
        monitor: str = "valid_loss",
        mode: Mode = "auto",
        prefix: str = "",
        content: dict[str, Any] | None = None,
        last: bool = True,
    ) -> None:
        self.best_path = Path(folder) / f"{prefix}best.pt"
        self.last_path = Path(folder) / f"{prefix}last.pt"
        self._content = content or {}
        self._keeps_last = last
        self._monitor = Monitor(monitor, mode)
        self._best: dict[str, Any] | None = None  # what is still to be written
        self._written = 0.0

    @property
    def best_epoch(self) -> int:
        """1-based; 0 before the first epoch has ended."""
        return self._monitor.best_epoch

    def on_fit_start(self, state: State) -> None:
        self._monitor.reset(state)
        self._best, self._written = None, time.monotonic()

    def on_epoch_end(self, state: State) -> None:
        if self._monitor.improved(state):
            self._best = self._snapshot(state)
        if time.monotonic() - self._written >= PAUSE_SECONDS:
            self._write_best()

    def on_fit_end(self, state: State) -> None:
        if state.step == 0:
            return
        self._write_best()
        if not self._keeps_last:
            return
        where_it_ended = {
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "step": state.step,
            "stop_reason": state.stop_reason,
        }
        checkpoint.save(self.last_path, self._snapshot(state) | where_it_ended)

    def _write_best(self) -> None:
        if self._best is not None:
            checkpoint.save(self.best_path, self._best)
            self._best, self._written = None, time.monotonic()

    def _snapshot(self, state: State) -> dict[str, Any]:
        weights = _copied_state(state.model)
        metrics = dict(state.history[-1]) if state.history else {}
        content = {**self._content, "model": weights, "epoch": len(state.history), "metrics": metrics}
        states = {name: _copied_state(module) for name, module in state.modules.items()}
        modules = {name: values for name, values in states.items() if values}
        return content | ({"modules": modules} if modules else {})


def _copied_state(module: nn.Module) -> dict[str, Any]:
    return {name: _copied(value) for name, value in module.state_dict().items()}


def _copied(value: Any) -> Any:
    """A tensor as it is now, on the CPU; a module's extra state as it is."""
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
