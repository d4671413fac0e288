"""Watches a callback: it may read validation metrics or change the training, but not both.

A fold is evaluated on its validation set. If that set changes the training, the evaluation is too optimistic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from harness.engine.trainer import EVENTS, Callback, State, overrides
from harness.errors import UsageError

NOT_JUDGED = {"valid_seconds", "valid_examples"}


class _Watched(Callback):
    """Calls the hooks of another callback. `watched` adds only the hooks that the other callback overrides."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.metric_names = callback.metric_names
        self.read: set[str] = set()  # validation metrics that were read in this fit

    def on_fit_start(self, state: State) -> None:
        self.read = set()
        self.callback.on_fit_start(state)


def watched(callback: Callback) -> Callback:
    """Wraps a callback. A hook raises UsageError if it changed the training after reading validation metrics."""
    hooks = {event: watching(event) for event in EVENTS[1:] if overrides(callback, event)}
    return type(type(callback).__name__, (_Watched,), hooks)(callback)  # type: ignore[no-any-return]


def watching(event: str) -> Callable[[Any, State], None]:
    """Returns the hook of a watched callback for an event."""
    at_epoch_end = event == "on_epoch_end"  # metrics are read here; checking all weights elsewhere is too slow

    def call(self: _Watched, state: State) -> None:
        hook = getattr(self.callback, event)
        before = _training(state) if at_epoch_end or self.read else None
        state.was_read.clear()
        hook(state)
        self.read |= {name for name in state.was_read if name.startswith("valid_")} - NOT_JUDGED
        if self.read and before is not None and before != _training(state):
            raise _steers(type(self.callback).__name__, sorted(self.read))

    return call


def _training(state: State) -> list[object]:
    """Returns everything about the training that a callback can change. Reads nothing from the device."""
    groups = [
        {name: value for name, value in group.items() if name != "params"} for group in state.optimizer.param_groups
    ]
    weights = [(id(p), p._version, p.requires_grad, _version(p.grad)) for p in state.model.parameters()]
    return [state.stop_reason, id(state.batch), id(state.model), groups, weights]


def _version(gradient: Tensor | None) -> int:
    return -1 if gradient is None else gradient._version


def _steers(name: str, read: list[str]) -> UsageError:
    inner = read[0].replace("valid_", "inner_")
    return UsageError(
        f"callback {name} changes the training by {', '.join(read)}",
        "the validation set evaluates the fold, so the results would be too good",
        f"read {inner} instead and use -s inner_fraction=0.2, which holds out training images for that; "
        "or log metrics in another callback than the one that changes the training",
    )
