"""A run's trackers. Each mirrors the run folder; a tracker that fails gives a warning and never stops the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.engine.callback import Stateless
from harness.engine.callbacks import EpochLog
from harness.engine.trainer import Callback, State
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.trackers.follower import GOES_ON, Follower, leave_rest
from harness.trackers.mlflow.store import recorded, tracking_uri
from harness.trackers.tensorboard.run import TensorBoard
from harness.util.addresses import without_secrets
from harness.util.console import print_line
from harness.util.packages import installed


class Tracking:
    """The trackers of one run. Skips those that are not installed; the caller prints that.

    Args:
        folder: The run folder.
        trackers: Their names.
        follower: The process that was started early for this run; None starts one now.
    """

    def __init__(self, folder: RunFolder, trackers: Sequence[str], follower: Follower | None = None) -> None:
        self.status = Status.FINISHED  # the run's status if no error ends it
        self._folder = folder
        self._board: TensorBoard | None = None
        self._follower: Follower | None = None
        self._problems: dict[str, str] = {}
        self._names = [name for name in trackers if installed(name)]
        if "mlflow" in self._names:
            with self._warned("mlflow"):
                folder.update(**recorded(tracking_uri()))
                self._follower = follower or Follower()
                self._follower.begin(folder)
        if "tensorboard" in self._names:
            with self._warned("tensorboard"):
                self._board = TensorBoard(folder)
                self._board.start()
                self._board.remove_old()

    def callback(self, log: EpochLog) -> Callback:
        """A callback that sends each epoch that `log` has written. It must come after `log` and after `FirstBatch`."""
        return _EachEpoch(self, log)

    def epoch_ended(self, row: Mapping[str, Any]) -> None:
        if self._board is not None:
            with self._warned("tensorboard"):
                self._board.epoch(row)

    def fold_ended(self, fold: int) -> None:
        if self._board is not None:
            with self._warned("tensorboard"):
                self._board.fold_ended(fold)
                self._board.results()

    @property
    def states(self) -> dict[str, str]:
        """COMPLETE or a problem for each tracker; for MLflow only a problem that happened in this process."""
        names = [name for name in self._names if name != "mlflow" or name in self._problems]
        return {name: self._problems.get(name, COMPLETE) for name in names}

    def close(self, interrupted: bool = False) -> None:
        """Sends each tracker the rest of the run that has ended; MLflow in the background, see `wait_for_rest`."""
        if self._board is not None:
            with self._warned("tensorboard"):
                self._board.end()
        if self._follower is not None and "mlflow" in self._problems:
            self._follower.end()
        elif self._follower is not None:
            leave_rest(self._follower, self._folder, interrupted)

    @contextlib.contextmanager
    def _warned(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # for example, the disk is full
            if name == "tensorboard" and self._board is not None:
                self._board.close()
                self._board = None
            self._problems[name] = without_secrets(f"{type(error).__name__}: {error}", tracking_uri())
            print_line(f"warning: {name} has failed ({self._problems[name]}); {GOES_ON}")


class _EachEpoch(Stateless):
    def __init__(self, tracking: Tracking, log: EpochLog) -> None:
        self._tracking = tracking
        self._log = log

    def on_epoch_end(self, state: State) -> None:
        self._tracking.epoch_ended(self._log.row)
