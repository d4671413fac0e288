from __future__ import annotations

from typing import Any

from tqdm import tqdm

from harness.engine.trainer import Callback, State
from harness.util.console import bar, print_line


class ProgressBar(Callback):
    """Shows one progress bar for the fit on a terminal, and prints one line per epoch. Both go to stderr.

    Args:
        title: The beginning of the bar and of each line, for example "fold 1/5".

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.ProgressBar("fold 1/5")])
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._bar: tqdm[Any] | None = None
        self._done = 0  # finished batches

    def on_fit_start(self, state: State) -> None:
        self._done = 0
        per_epoch = sum(state.batches.values())
        self._bar = bar(
            total=per_epoch * state.epochs or None, desc=self.title, unit="batch", leave=False, dynamic_ncols=True
        )

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._done = state_dict["done"]
        if self._bar is not None:
            self._bar.initial = self._bar.n = self._done
            self._bar.refresh()

    def on_batch_end(self, state: State) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, state: State) -> None:
        print_line(f"{self.title}  {epoch_line(state)}".strip())

    def on_fit_end(self, state: State) -> None:
        if self._bar is not None:
            self._bar.close()


def epoch_line(state: State) -> str:
    """Returns `epoch 2/5  train loss 0.2213, accuracy 91.20 %  valid loss 0.1822, accuracy 95.10 %  12.3 s`."""
    row = state.history[-1]
    parts = [f"epoch {state.epoch}/{state.epochs}"]
    for phase in state.phases:
        names = [name for name in state.metric_names if name.startswith(f"{phase}_")]
        parts.append(f"{phase} " + ", ".join(_value(name.removeprefix(f"{phase}_"), row[name]) for name in names))
    parts.append(f"{sum(value for name, value in row.items() if name.endswith('_seconds')):.1f} s")
    return "  ".join(parts)


def _value(name: str, value: float) -> str:
    return f"{name} {100 * value:.2f} %" if name == "accuracy" else f"{name} {value:.4f}"
