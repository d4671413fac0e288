"""Starts and stops the process that sends a run to MLflow. Imports nothing heavy, so that a run starts quickly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from harness.errors import HarnessError, Terminated
from harness.util.packages import installed
from harness.util.processes import python_module

if TYPE_CHECKING:
    from harness.runs.run_folder import RunFolder
    from harness.runs.study_folder import StudyFolder

WAIT_SECONDS = 10.0  # at the end of a command, for what MLflow still lacks: enough if no other program uses the cores
PIPELINE_SECONDS = 300.0  # the same, if the run was written to a pipeline's folder
INTERRUPTED = "interrupted"  # the line that a follower reads if a signal ended the run
INTERRUPTED_SECONDS = 2.0  # how long an interrupted run waits
GOES_ON = "the run continues, and its folder is complete"  # the end of a follower's line that says that MLflow failed
IS_BACK = "works again"  # the end of a follower's line that says that MLflow no longer fails
LOOK_SECONDS = 0.2  # between two checks of what it has printed
PATIENCE_SECONDS = 2.0  # before the command prints what it waits for


@dataclass(frozen=True)
class _Rest:
    """A run or a study that has ended, and the follower that still sends the rest of it."""

    follower: Follower
    folder: RunFolder | StudyFolder
    is_in_pipeline: bool  # the pipeline hashes the folder when the command has ended: nothing may be written later

    @property
    def seconds(self) -> float:
        return PIPELINE_SECONDS if self.is_in_pipeline else WAIT_SECONDS

    def ends(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns True if there is nothing more to wait for."""
        return self.follower.has_ended(seconds) if self.is_in_pipeline else self.follower.settles(seconds)


_rests: list[_Rest] = []  # the ones that this command has not waited for yet
addressed: set[str] = set()  # ids of runs whose model's address in MLflow has been printed
_left: list[Follower] = []  # still running in the background; Python warns about a process without a reference


def start_early(trackers: Sequence[str]) -> Follower | None:
    """Starts a follower before the run is planned, so that its imports are done when the run starts.

    Returns None if no follower is needed, or if there is no second core.
    """
    if "mlflow" in trackers and installed("mlflow") and (os.cpu_count() or 1) > 1:
        with contextlib.suppress(OSError):  # the run tries again, and prints the error
            return Follower()
    return None


class Follower:
    """The run's handle of the process that sends it to MLflow. Started early, the process is ready when the run starts.

    The process ends without output if this one ends before a run starts.
    """

    def __init__(self) -> None:
        command = python_module("harness.trackers.follow")
        with _signals_blocked():  # signals go to both processes, but the follower must outlive the run
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="surrogateescape",
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            )
        self._last = ""
        self.has_told = False  # whether it has printed that MLflow has failed
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, folder: RunFolder | StudyFolder) -> None:
        """Follows that run or study from now on. Raises OSError if the process has died."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder.path}\n")
        self._process.stdin.flush()

    def end(self, interrupted: bool = False) -> None:
        """Lets it send the rest of the run that has ended, and record whether MLflow has the whole run.

        Args:
            interrupted: Whether a signal ended the run. Then a store that is still being made is given up.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it may have died
            if interrupted:
                self._process.stdin.write(f"{INTERRUPTED}\n")
            self._process.stdin.close()

    def has_ended(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether it has ended; all its output is printed then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(PATIENCE_SECONDS)
        return True

    def settles(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether it has ended, or has printed that MLflow failed."""
        deadline = time.monotonic() + seconds
        while not self.has_told and (left := deadline - time.monotonic()) > 0:
            if self.has_ended(min(LOOK_SECONDS, left)):
                return True
        return self.has_told

    @property
    def problem(self) -> str:
        """Why a follower that has ended could not send all, in one sentence; empty if it sent all."""
        code = self._process.poll()
        ended = f"was killed by signal {-code}" if code and code < 0 else f"ended with exit code {code}"
        return (self._last or f"the process that sends to MLflow {ended}") if code else ""

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._last = line.strip()
                self.has_told = not self._last.endswith(IS_BACK) and (self.has_told or self._last.endswith(GOES_ON))
                _print_line(f"warning: {self._last}")


def leave_rest(follower: Follower, folder: RunFolder | StudyFolder, interrupted: bool = False) -> None:
    """Tells a follower that its run or study has ended, and returns at once: `wait_for_rest` waits for it.

    Until the follower records the result, the record says that the run is still being sent.
    """
    from harness.runs.place import AGAIN
    from harness.trackers.mlflow.state import SENDING, record_state

    record_state(folder, SENDING)
    follower.end(interrupted)
    if interrupted:
        follower.has_ended(INTERRUPTED_SECONDS)
        _left.append(follower)
        return
    _rests.append(_Rest(follower, folder, is_in_pipeline=(folder.path / AGAIN).exists()))


def wait_for_rest() -> None:
    """Waits a few seconds for this command's followers, or until a signal. Prints what MLflow lacks then.

    What is not sent by then is sent in the background.
    """
    while _rests:
        rest = _rests.pop()
        _left.append(rest.follower)
        with contextlib.suppress(KeyboardInterrupt, Terminated):
            if rest.ends(PATIENCE_SECONDS):
                _tell(rest)
                continue
            _print_line(f"waiting for MLflow, {rest.seconds:.0f} s at most (Ctrl-C: send in the background)")
            if rest.ends(rest.seconds - PATIENCE_SECONDS):
                _tell(rest)
                continue
        _print_line("the rest is sent to MLflow in the background; harness list shows when that is done")
        _print_line(f"to wait for it: harness sync {quote(str(rest.folder.path))}")


def _tell(rest: _Rest) -> None:
    """Prints how to send what MLflow lacks, and records why if the follower could not."""
    from harness.trackers.mlflow.state import SENDING, record_state, state_of

    problem = rest.follower.problem
    if not problem and not rest.follower.has_told:
        _tell_address(rest)
        return
    with contextlib.suppress(HarnessError):  # somebody has removed the run
        rest.folder.reload()
        if problem and state_of(rest.folder) == SENDING:
            record_state(rest.folder, problem)
            _print_line(f"warning: {problem}")
    _print_line(f"  not sent to  mlflow: harness sync {quote(str(rest.folder.path))}")


def _tell_address(rest: _Rest) -> None:
    """Prints the address of a run's model if the result could not: a short run ends before MLflow has it."""
    from harness.runs.run_folder import RunFolder
    from harness.trackers.mlflow.model_address import model_line

    if isinstance(rest.folder, RunFolder) and rest.folder.id not in addressed:
        with contextlib.suppress(HarnessError):  # somebody has removed the run
            rest.folder.reload()
            line = model_line(rest.folder)
            if line:
                _print_line(f"  mlflow       {line}")


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process started in this block gets no Ctrl-C, SIGTERM or SIGHUP; this process gets them after the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: only Ctrl-C goes to both processes
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _print_line(text: str) -> None:
    from harness.util.console import print_line  # imports torch, which a run has imported by now

    print_line(text)
