"""`State`: where a fit is now; and `Row`, the metrics of one epoch."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.engine.metrics import Means, require_metric
from harness.engine.precision import Precision

Phase = Literal["train", "inner", "valid"]
T = TypeVar("T")


class Row(dict[str, float]):
    """The metrics of one epoch by name.

    Attributes:
        was_read: Names that somebody has read, in this row or in another one that shares the set.
    """

    def __init__(self, was_read: set[str], **values: float) -> None:
        super().__init__(**values)
        self.was_read = was_read

    def __getitem__(self, name: str) -> float:
        self.was_read.add(name)
        return super().__getitem__(name)

    def __missing__(self, name: str) -> float:
        why = ": this fit has no validation images" if name.startswith("valid_") else ""
        raise KeyError(f"{name}{why}")

    def get(self, name: str, default: Any = None) -> Any:
        self.was_read.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # without it, `dict(row)` would read all values unseen
        return super().__iter__()

    def items(self) -> ItemsView[str, float]:  # type: ignore[override]
        self.was_read.update(self)
        return super().items()

    def values(self) -> ValuesView[float]:  # type: ignore[override]
        self.was_read.update(self)
        return super().values()


@dataclass
class State:
    """Where a fit is now. One per fit, never reused. Callbacks read all of it, may replace `batch`, may `stop`."""

    model: nn.Module
    optimizer: Optimizer
    epochs: int  # the most epochs of the fit
    device: torch.device
    precision: Precision
    scaler: torch.amp.GradScaler  # does nothing except in fp16
    metric_names: tuple[str, ...]  # what each row of `history` will hold, known before the first step
    phases: tuple[Phase, ...]  # of each epoch, in order
    batches: dict[Phase, int]  # per epoch, of each phase whose iterable has a length
    epoch: int = 0  # 1-based from the first on_epoch_start on
    step: int = 0  # batches trained on; in fp16 the scaler may have skipped the optimizer for some
    phase: Phase = "train"
    batch: Any = None  # (inputs, targets) on the device
    logits: Tensor | None = None  # (B, classes), fp32, on the device
    loss: Tensor | None = None  # mean over the batch, on the device: reading its value waits for the device
    rates: list[Any] = field(default_factory=list)  # of the last step, by parameter group
    history: list[dict[str, float]] = field(default_factory=list)  # one row per finished epoch
    was_read: set[str] = field(default_factory=set)  # metrics in `history` that were read
    modules: dict[str, nn.Module] = field(default_factory=dict)  # besides the model: loss and metrics that are modules
    parts: dict[str, Any] = field(default_factory=dict)  # the loss and the metrics, by name
    sources: dict[Phase, Any] = field(default_factory=dict)  # the iterables of batches
    callbacks: tuple[Any, ...] = ()
    row: Row | None = None  # the epoch's metrics of the phases that have ended; None between two epochs
    means: Means | None = None  # of the phase so far; None between two phases
    done: int = 0  # batches of the phase so far
    generators: dict[str, Any] = field(default_factory=dict)  # states of the random generators as the phase began
    stop_reason: str | None = None
    error: BaseException | None = None

    def phases_left(self, phases: Mapping[Phase, T]) -> dict[Phase, T]:
        """Of an epoch's phases, those that have not ended."""
        ended = {phase for phase in phases if self.row is not None and f"{phase}_examples" in self.row}
        return {phase: value for phase, value in phases.items() if phase not in ended}

    def end_epoch(self) -> None:
        """Adds the epoch's row to the history."""
        assert self.row is not None
        self.history.append(self.row)
        self.row = None

    def stop(self, reason: str) -> None:
        """Ends the fit: training after this batch, and, once what was trained is validated, this epoch."""
        self.stop_reason = self.stop_reason or str(reason)

    def require_metric(self, name: str) -> None:
        """Raises UsageError unless `name` will be in every row of `history`."""
        require_metric(name, self.metric_names)

    def steering(self, name: str) -> str:
        """The metric to steer by where `name` is asked for: `valid_loss` is `inner_loss` if there is an inner part."""
        side, _, quantity = name.partition("_")
        return f"inner_{quantity}" if side == "valid" and "inner" in self.phases else name
