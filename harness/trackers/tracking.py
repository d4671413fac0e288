"""A run's trackers: each mirrors the run folder, and whatever happens to one costs a warning, never the run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.callbacks import EpochLog
from harness.callbacks.progress import say
from harness.engine import Callback, State
from harness.trackers.mlflow.store import shown, tracking_uri
from harness.trackers.run_folder import COMPLETE, RunFolder
from harness.trackers.tensorboard.run import TensorBoard

MOST_SECONDS = 300.0  # that a run waits at its end for what MLflow still lacks
PATIENCE_SECONDS = 2.0  # before a person is told what the run is waiting for


def installed(tracker: str) -> bool:
    """Whether the package of that tracker is there; nothing is imported."""
    with contextlib.suppress(ValueError):
        return importlib.util.find_spec(tracker) is not None
    return False


class Tracking:
    """The trackers of one run, by name. Those that are not installed are passed over: to say so is the caller's."""

    def __init__(self, folder: RunFolder, trackers: Sequence[str]) -> None:
        self._folder = folder
        self._board: TensorBoard | None = None
        self._follower: Follower | None = None
        self._problems: dict[str, str] = {}
        self._names = [name for name in trackers if installed(name)]
        if "mlflow" in self._names:
            with self._warned("mlflow"):
                folder.update(stores={"mlflow": shown(tracking_uri())})
                self._follower = Follower(folder)
        if "tensorboard" in self._names:
            with self._warned("tensorboard"):
                self._board = TensorBoard(folder)
                self._board.start()

    @property
    def processes(self) -> list[int]:
        """The ids of those that it has started."""
        return [] if self._follower is None else [self._follower.pid]

    def callback(self, log: EpochLog) -> Callback:
        """Shows each epoch that `log` has written. To come after it, and after `FirstBatch`."""
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

    def close(self) -> dict[str, str]:
        """What each tracker has of the run that has ended: COMPLETE, or what was the matter."""
        if self._board is not None:
            with self._warned("tensorboard"):
                self._board.end()
        if self._follower is not None:
            problem = self._follower.finish()
            if problem:
                self._problems["mlflow"] = problem
        return {name: self._problems.get(name, COMPLETE) for name in self._names}

    @contextlib.contextmanager
    def _warned(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the disk is full, say
            if name == "tensorboard" and self._board is not None:
                self._board.close()
                self._board = None
            self._problems[name] = f"{type(error).__name__}: {error}"
            say(f"warning: {name} has failed ({self._problems[name]}); the run goes on, and its folder has all")


class _EachEpoch(Callback):
    def __init__(self, tracking: Tracking, log: EpochLog) -> None:
        self._tracking = tracking
        self._log = log

    def on_epoch_end(self, state: State) -> None:
        self._tracking.epoch_ended(self._log.row)


class Follower:
    """The process that sends the run to MLflow, seen from the run's side."""

    def __init__(self, folder: RunFolder) -> None:
        command = [sys.executable, "-m", "harness.trackers.follow", str(folder.path)]
        with _interrupts_ignored():  # Ctrl-C goes to both; the follower must outlive the run
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            )
        self._last = ""
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> str:
        """Lets it send the rest, and waits for that. Returns what it missed, in a sentence, or nothing."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            try:
                code = self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                say("sending the rest to MLflow (Ctrl-C: in the background)")
                code = self._process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            return f"it was still being sent after {MOST_SECONDS:.0f} s"
        except KeyboardInterrupt:  # it goes on by itself: a run must not stay RUNNING there
            return "it was still being sent when Ctrl-C was pressed"
        self._reader.join(PATIENCE_SECONDS)
        if code and not self._last:
            self._last = f"the process that sends to MLflow ended with {code}"
            say(f"warning: {self._last}")
        return self._last if code else ""

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._last = line.strip()
                say(f"warning: {self._last}")


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process that is started within ignores Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
