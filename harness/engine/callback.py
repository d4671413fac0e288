"""`Callback`, the base class of all callbacks, and its events. `trainer.py` shows when each event fires."""

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
    """Base class for code that runs at the events of a fit. Override the hooks that you need.

    `trainer.py` shows when each event fires and what is true then. When an interrupted fit resumes, each callback gets
    its saved `state_dict` after `on_fit_start`. By default this dictionary holds the attributes of the callback:
    tensors, plain values, and objects that have a `state_dict`.

    Attributes:
        metric_names: Metrics that `on_epoch_end` adds to each row of `state.history`, so that others can monitor them.
        steers: Whether validation metrics decide how this callback changes the training, as in early stopping.
            Cross-validation then splits an inner part off the training set, and these metrics are `inner_loss`,
            `inner_accuracy`, ...

    Raises:
        TypeError: When the subclass is defined: it has an unknown `on_...` method, or only one of `state_dict` and
            `load_state_dict`.

    Example:
        >>> import harness
        >>> class StopAtLowLoss(harness.Callback):
        ...     def on_epoch_end(self, state):
        ...         if state.history[-1]["train_loss"] < 0.01:
        ...             state.stop("the training loss is below 0.01")
        >>> trainer = harness.Trainer(callbacks=[StopAtLowLoss()])
    """

    metric_names: tuple[str, ...] = ()
    steers: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("on_") and name not in EVENTS:
                known = ", ".join(EVENTS)
                raise TypeError(f"{cls.__name__}.{name} is not an event{nearest(name, EVENTS)}; events: {known}")
        if ("state_dict" in vars(cls)) != ("load_state_dict" in vars(cls)):
            raise TypeError(f"{cls.__name__} defines only one of state_dict and load_state_dict: define both")

    def state_dict(self) -> dict[str, Any]:
        """Returns what must be saved to resume the fit, in tensors and plain values."""
        return attribute_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned. Called after `on_fit_start`."""
        load_attribute_state(self, state_dict, torch.device("cpu"))

    def on_fit_start(self, state: State) -> None:
        """Reset the state of this callback; check what it needs."""

    def on_epoch_start(self, state: State) -> None:
        """Called before the first batch of an epoch."""

    def on_batch_start(self, state: State) -> None:
        """Read or replace `state.batch`."""

    def on_backward_end(self, state: State) -> None:
        """Clip or measure gradients. Not called during validation."""

    def on_batch_end(self, state: State) -> None:
        """Called after each batch. Do not read values from the device here: that is slow."""

    def on_epoch_end(self, state: State) -> None:
        """Read `state.history[-1]`; save, report, or `state.stop(reason)`."""

    def on_fit_end(self, state: State) -> None:
        """Close what was opened. `state.error` is None if the fit succeeded."""


class Stateless(Callback):
    """A callback without state. A fit can resume even if this callback is missing."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing."""


def overrides(callback: Callback, event: str) -> bool:
    """Returns whether a callback overrides the hook of an event."""
    return getattr(type(callback), event) is not getattr(Callback, event)
