from __future__ import annotations

import math

from torch import Tensor

from harness.engine.trainer import Callback, State
from harness.errors import TrainingError


class TerminateOnNaN(Callback):
    """Ends the fit with an error after an epoch whose training or validation loss is NaN or infinite.

    Raises:
        TrainingError: When an epoch ends. The message names the likely cause.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.TerminateOnNaN()])
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None  # the loss of the first batch, before any step

    def on_fit_start(self, state: State) -> None:
        self._first = None

    def on_batch_end(self, state: State) -> None:
        if self._first is None:
            self._first = state.loss  # not read here: that would wait for the device

    def on_epoch_end(self, state: State) -> None:
        for phase in state.phases:
            loss = state.history[-1][f"{phase}_loss"]
            if not math.isfinite(loss):
                raise TrainingError(f"the {phase} loss is {loss} in epoch {state.epoch}", *self._why(state))

    def _why(self, state: State) -> tuple[str, str]:
        """Returns the cause and what to do about it."""
        if self._first is not None and not math.isfinite(self._first.item()):
            others = "" if state.precision.name == "fp32" else "-s precision=fp32, or "
            why = "it was not finite before the first step: the model, its weights, its inputs or the loss cause this"
            return why, f"{others}check the model and the loss with --fast-dev-run"
        lr = state.optimizer.defaults["lr"]  # the initial value: a schedule may have changed the current one
        why = f"the weights diverged; the usual cause is a learning rate that is too high (it is {lr:g})"
        return why, f"-s lr={lr / 10:g}, or add a GradientClipping callback"
