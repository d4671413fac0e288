from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from harness.engine.object_state import load_object_state, object_state
from harness.engine.trainer import Callback, State
from harness.errors import ModelError, UsageError

MakeScheduler = Callable[[Optimizer, int], Any]


class LearningRateSchedule(Callback):
    """Steps a scheduler of torch after each epoch or each training batch.

    A `ReduceLROnPlateau` gets the value of `monitor`, or of the inner part's metric if there is an inner part.

    Args:
        make: `make(optimizer, total)` returns the scheduler, which will be stepped `total` times. Some classes work
            unchanged, such as `CosineAnnealingLR`.
        every: "epoch" or "batch".
        monitor: The metric for a `ReduceLROnPlateau`.

    Raises:
        UsageError: When the fit starts: `monitor` is unknown, or `every` is "batch" and the training iterable has no
            length.

    Example:
        >>> import harness
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR
        >>> trainer = harness.Trainer(callbacks=[harness.LearningRateSchedule(CosineAnnealingLR, every="batch")])
    """

    def __init__(
        self, make: MakeScheduler, every: Literal["epoch", "batch"] = "epoch", monitor: str = "valid_loss"
    ) -> None:
        self.make = make
        self.every = every
        self.monitor = monitor
        self._scheduler: Any = None
        self._total = 0  # number of scheduler steps

    def on_fit_start(self, state: State) -> None:
        total = state.epochs
        if self.every == "batch":
            if "train" not in state.batches:
                raise UsageError(
                    "a schedule per batch needs the number of batches",
                    "the training iterable has no len()",
                    'give it a __len__, or LearningRateSchedule(..., every="epoch")',
                )
            total *= state.batches["train"]
        self._total = total
        self._scheduler = self.make(state.optimizer, total)
        if isinstance(self._scheduler, ReduceLROnPlateau):
            state.require_metric(state.steering(self.monitor))

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": object_state(self._scheduler), "total": self._total}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["total"] != self._total:
            raise ModelError(
                "the learning rate schedule cannot resume",
                f"the saved schedule has {state_dict['total']} steps, and this one has {self._total}",
                "use the same number of epochs and batches as before",
            )
        load_object_state(self._scheduler, state_dict["scheduler"], torch.device("cpu"))

    def on_batch_end(self, state: State) -> None:
        if self.every == "batch" and state.phase == "train":
            self._scheduler.step()

    def on_epoch_end(self, state: State) -> None:
        if self.every != "epoch":
            return
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(state.history[-1][state.steering(self.monitor)])
        else:
            self._scheduler.step()
