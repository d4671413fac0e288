from __future__ import annotations

from harness.engine.callbacks.monitor import Mode, Monitor
from harness.engine.trainer import Callback, State


class EarlyStopping(Callback):
    """Stops the fit after `patience` epochs in a row without an improvement of `monitor` by more than `min_delta`.

    Args:
        monitor: A metric of the history. With an inner part, `inner_loss` is used for `valid_loss`.
        patience: Epochs without improvement.
        mode: "max" if a higher value is better, or "min"; with "auto" the metric's name decides.
        min_delta: The smallest improvement that counts, in the metric's unit.

    Raises:
        UsageError: The mode is "auto" and the name does not decide; or, when the fit starts, the metric is unknown.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.EarlyStopping("valid_accuracy", patience=2)])
    """

    def __init__(
        self, monitor: str = "valid_loss", patience: int = 3, mode: Mode = "auto", min_delta: float = 0.0
    ) -> None:
        self.patience = patience
        self.steers = not monitor.startswith("train_")
        self._monitor = Monitor(monitor, mode, min_delta)

    def on_fit_start(self, state: State) -> None:
        self._monitor.reset(state)

    def on_epoch_end(self, state: State) -> None:
        if self._monitor.improved(state):
            return
        waited = state.epoch - self._monitor.best_epoch
        if waited >= self.patience:
            state.stop(f"{self._monitor.name} has not improved for {waited} epochs")
