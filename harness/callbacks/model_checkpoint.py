from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from harness import checkpoint
from harness.callbacks.monitor import Mode, Monitor
from harness.engine import Callback, State


class ModelCheckpoint(Callback):
    """Saves `<prefix>best.pt` whenever `monitor` improves, and `<prefix>last.pt` when the fit ends, however it ends.

    `best` is for using the model. `last` is where the fit ended, and also holds the optimizer; its `epoch` and
    `metrics` are those of the last epoch that was completed. `content` is added to both.
    """

    def __init__(
        self,
        folder: Path | str,
        monitor: str = "valid_loss",
        mode: Mode = "auto",
        prefix: str = "",
        content: dict[str, Any] | None = None,
    ) -> None:
        self.best_path = Path(folder) / f"{prefix}best.pt"
        self.last_path = Path(folder) / f"{prefix}last.pt"
        self._content = content or {}
        self._monitor = Monitor(monitor, mode)

    @property
    def best_epoch(self) -> int:
        """1-based; 0 before the first epoch has ended."""
        return self._monitor.best_epoch

    def on_fit_start(self, state: State) -> None:
        self._monitor.reset(state)

    def on_epoch_end(self, state: State) -> None:
        if self._monitor.improved(state):
            checkpoint.save(self.best_path, self._snapshot(state))

    def on_fit_end(self, state: State) -> None:
        if state.step == 0:
            return
        where_it_ended = {
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "step": state.step,
            "stop_reason": state.stop_reason,
        }
        checkpoint.save(self.last_path, self._snapshot(state) | where_it_ended)

    def _snapshot(self, state: State) -> dict[str, Any]:
        weights = {name: _on_cpu(value) for name, value in state.model.state_dict().items()}
        metrics = dict(state.history[-1]) if state.history else {}
        return {**self._content, "model": weights, "epoch": len(state.history), "metrics": metrics}


def _on_cpu(value: Any) -> Any:
    """A tensor on the CPU; a module's extra state as it is."""
    return value.detach().cpu() if isinstance(value, Tensor) else value
