"""`Callback`, the base class of all callbacks, and its events. When each fires is drawn in `trainer.py`."""

from __future__ import annotations

from typing import Any

import torch

from harness.engine.object_state import attribute_state, load_attribute_state
from harness.engine.state import State
from harness.errors import nearest

EVENTS = (
    "on_fit_start",
    "on_epoch_start",
    "on_batch_start",
    "on_backward_end",
    "on_batch_end",
    "on_epoch_end",
    "on_fit_end",
)


class Callback:
    """Something to do at points of a fit: override what you need. `trainer.py` says what holds when.

    A fit that was cut off gives each callback, after `on_fit_start`, what its `state_dict` had saved. By default that
    are its attributes: tensors, plain values, and objects that have a `state_dict` themselves.

    Attributes:
        metric_names: What it adds to each row of `state.history` in `on_epoch_end`, so that others can monitor it.
        steers: Whether it changes the training by metrics of validation, as early stopping does. A fold that is judged
            by cross-validation then gets an inner part, and these metrics are `inner_loss`, `inner_accuracy`, ...
    """

    metric_names: tuple[str, ...] = ()
    steers: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("on_") and name not in EVENTS:
                known = ", ".join(EVENTS)
                raise TypeError(f"{cls.__name__}.{name} is no event{nearest(name, EVENTS)}; the events are {known}")
        if ("state_dict" in vars(cls)) != ("load_state_dict" in vars(cls)):
            raise TypeError(
                f"{cls.__name__} has one of state_dict and load_state_dict: what one saves, the other loads"
            )

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, in tensors and plain values."""
        return attribute_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what `state_dict` has returned. Called after `on_fit_start`."""
        load_attribute_state(self, state_dict, torch.device("cpu"))

    def on_fit_start(self, state: State) -> None:
        """Reset what this callback remembers; check what it needs."""

    def on_epoch_start(self, state: State) -> None:
        """An epoch begins."""

    def on_batch_start(self, state: State) -> None:
        """Read or replace `state.batch`."""

    def on_backward_end(self, state: State) -> None:
        """Clip or measure gradients. Not called in validation."""

    def on_batch_end(self, state: State) -> None:
        """Called for every batch: do not read values off the device here."""

    def on_epoch_end(self, state: State) -> None:
        """Read `state.history[-1]`; save, report, or `state.stop(reason)`."""

    def on_fit_end(self, state: State) -> None:
        """Close what was opened. `state.error` is None after a good fit."""


class Stateless(Callback):
    """A callback that remembers nothing that a fit needs to go on. It may be missing when the fit goes on."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing."""


def overrides(callback: Callback, event: str) -> bool:
    """Whether a callback does something at an event."""
    return getattr(type(callback), event) is not getattr(Callback, event)
