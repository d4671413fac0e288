from __future__ import annotations

import math

from harness.engine.trainer import Callback, State
from harness.errors import TrainingError


class TerminateOnNaN(Callback):
    """Fails the fit at the end of an epoch whose loss, in training or validation, is not finite."""

    def on_epoch_end(self, state: State) -> None:
        for phase in state.phases:
            loss = state.history[-1][f"{phase}_loss"]
            if not math.isfinite(loss):
                lr = state.optimizer.defaults["lr"]  # as it was set: a schedule may have changed it since
                raise TrainingError(
                    f"the {phase} loss is {loss} in epoch {state.epoch}",
                    f"the weights diverged, most often by a learning rate that is too high (it is {lr:g})",
                    f"-s lr={lr / 10:g}, or a GradientClipping callback",
                )
