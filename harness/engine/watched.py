"""Watches a callback: it may read metrics of validation, and it may change the training, but not both.

A fold is judged by its validation images. What they change cannot be judged by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from harness.engine.trainer import EVENTS, Callback, State, overrides
from harness.errors import UsageError

NOT_JUDGED = {"valid_seconds", "valid_examples"}


class _Watched(Callback):
    """Calls the hooks of another callback. It has those hooks only that the other one has: see `watched`."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.metric_names = callback.metric_names
        self.read: set[str] = set()  # metrics of validation, in this fit

    def on_fit_start(self, state: State) -> None:
        self.read = set()
        self.callback.on_fit_start(state)


def watched(callback: Callback) -> Callback:
    """The same callback, watched. A hook raises UsageError if it has changed the training by metrics of validation."""
    hooks = {event: watching(event) for event in EVENTS[1:] if overrides(callback, event)}
    return type(type(callback).__name__, (_Watched,), hooks)(callback)  # type: ignore[no-any-return]


def watching(event: str) -> Callable[[Any, State], None]:
    """The hook of a watched callback for an event."""
    at_epoch_end = event == "on_epoch_end"  # where metrics are read; elsewhere, a look at all weights costs too much

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
    """All that a callback can change about the training. Reads nothing off the device."""
    groups = [
        {name: value for name, value in group.items() if name != "params"} for group in state.optimizer.param_groups
    ]
    weights = [(id(p), p._version, p.requires_grad, _version(p.grad)) for p in state.model.parameters()]
    return [state.stop_reason, id(state.batch), id(state.model), groups, weights]


def _version(gradient: Tensor | None) -> int:
    return -1 if gradient is None else gradient._version


def _steers(name: str, read: list[str]) -> UsageError:
    own = read[0].replace("valid_", "inner_")
    return UsageError(
        f"callback {name} changes the training by {', '.join(read)}",
        "these images judge the fold, so its numbers would be too good",
        f"read {own} instead and -s inner_fraction=0.2, which sets training images aside for that; "
        "or log metrics in another callback than the one that changes the training",
    )
