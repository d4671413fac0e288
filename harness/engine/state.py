"""`State`, the current state of a fit, and `Row`, the metrics of one epoch."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.engine.metrics import Means, require_metric
from harness.engine.precision import Precision
from harness.util.text import short_repr

Phase = Literal["train", "inner", "valid"]
T = TypeVar("T")


class Row(dict[str, float]):
    """The metrics of one epoch; keys are metric names.

    Attributes:
        was_read: Names that were read, in this row or in another row that shares the set.
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

    def __iter__(self) -> Iterator[str]:  # without it, `dict(row)` would read all values without recording it
        return super().__iter__()

    def items(self) -> ItemsView[str, float]:  # type: ignore[override]
        self.was_read.update(self)
        return super().items()

    def values(self) -> ValuesView[float]:  # type: ignore[override]
        self.was_read.update(self)
        return super().values()


@dataclass
class State:
    """The current state of a fit. There is one per fit. Callbacks read it, and may set `batch` or call `stop`.

    Attributes:
        model: The model, on the device.
        optimizer: The optimizer of the fit.
        epochs: The maximum number of epochs.
        history: One row of metrics per finished epoch.
        epoch: The current epoch, from 1; 0 before the first.
        step: The number of batches trained on. With fp16, the scaler may skip the optimizer for some of them.
        phase: "train", "inner" or "valid".
        batch: (inputs, targets) on the device.
        logits: (B, classes), fp32, on the device.
        loss: The mean over the batch, on the device. Reading its value waits for the device.
        stop_reason: The reason that was given to `stop`, or None.
        error: The exception that ended the fit, or None.

    Example:
        >>> import torch, harness
        >>> batches = [(torch.eye(4), torch.tensor([0, 0, 1, 1]))]
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        >>> state = harness.Trainer(device="cpu").fit(model, optimizer, batches, batches, epochs=20)
        >>> state.epoch, state.step, state.stop_reason
        (20, 20, None)
    """

    model: nn.Module
    optimizer: Optimizer
    epochs: int
    device: torch.device
    precision: Precision
    scaler: torch.amp.GradScaler  # does nothing except in fp16
    metric_names: tuple[str, ...]  # the metrics in each row of `history`, known before the first step
    phases: tuple[Phase, ...]  # of each epoch, in order
    batches: dict[Phase, int]  # per epoch, of each phase whose iterable has a length
    epoch: int = 0
    step: int = 0
    phase: Phase = "train"
    batch: Any = None
    logits: Tensor | None = None
    loss: Tensor | None = None
    rates: list[Any] = field(default_factory=list)  # learning rates of the last step, by parameter group
    history: list[dict[str, float]] = field(default_factory=list)
    was_read: set[str] = field(default_factory=set)  # metrics in `history` that were read
    modules: dict[str, nn.Module] = field(default_factory=dict)  # the loss and metrics that are modules
    parts: dict[str, Any] = field(default_factory=dict)  # the loss and the metrics, by name
    sources: dict[Phase, Any] = field(default_factory=dict)  # the iterables of batches
    callbacks: tuple[Any, ...] = ()
    row: Row | None = None  # the metrics of the epoch's finished phases; None between two epochs
    means: Means | None = None  # of the current phase; None between two phases
    done: int = 0  # finished batches of the current phase
    generators: dict[str, Any] = field(default_factory=dict)  # random generator states at the start of the phase
    stop_reason: str | None = None
    error: BaseException | None = None

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.4g}" for name, value in dict.items(self.history[-1])) if self.history else ""
        where = f"epoch {self.epoch} of {self.epochs}, step {self.step}, phase {self.phase}, {self.device}"
        return short_repr(self, f"{where}; {last or 'no epoch has ended'}")

    def phases_left(self, phases: Mapping[Phase, T]) -> dict[Phase, T]:
        """Returns the phases of the epoch that have not ended."""
        ended = {phase for phase in phases if self.row is not None and f"{phase}_examples" in self.row}
        return {phase: value for phase, value in phases.items() if phase not in ended}

    def end_epoch(self) -> None:
        """Adds the epoch's row to the history."""
        assert self.row is not None
        self.history.append(self.row)
        self.row = None

    def stop(self, reason: str) -> None:
        """Ends training after this batch. The fit ends after the validation of this epoch."""
        self.stop_reason = self.stop_reason or str(reason)

    def require_metric(self, name: str) -> None:
        """Raises UsageError unless `name` will be in every row of `history`."""
        require_metric(name, self.metric_names)

    def steering(self, name: str) -> str:
        """Returns the metric that may steer the training: `inner_loss` for `valid_loss` if there is an inner part."""
        phase, _, metric = name.partition("_")
        return f"inner_{metric}" if phase == "valid" and "inner" in self.phases else name
