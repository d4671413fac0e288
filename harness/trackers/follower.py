"""The process that sends a run to MLflow, seen from the run's side. This imports nothing heavy: it is for the start."""

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

WAIT_SECONDS = 10.0  # at a command's end, for what MLflow still lacks: enough where nothing else has the cores
PIPELINE_SECONDS = 300.0  # the same, if the run went to a folder of a pipeline
INTERRUPTED = "interrupted"  # the line that a follower reads if a signal ended the run
INTERRUPTED_SECONDS = 2.0  # that such a run waits
GOES_ON = "the run goes on, and its folder has all"  # how a follower's line ends that says that MLflow has failed
IS_BACK = "is there again"  # how the line ends that takes that back
LOOK_SECONDS = 0.2  # between two looks at what it has told
PATIENCE_SECONDS = 2.0  # before the command says what it waits for


@dataclass(frozen=True)
class _Rest:
    """What a follower still sends of a run or a study that has ended."""

    follower: Follower
    folder: RunFolder | StudyFolder
    is_in_pipeline: bool  # which hashes the folder when the command has ended: nothing may be recorded later

    @property
    def seconds(self) -> float:
        return PIPELINE_SECONDS if self.is_in_pipeline else WAIT_SECONDS

    def ends(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether there is nothing more to wait for."""
        return self.follower.has_ended(seconds) if self.is_in_pipeline else self.follower.settles(seconds)


_rests: list[_Rest] = []  # that this command has not waited for yet
addressed: set[str] = set()  # ids of runs whose model's address in MLflow has been printed
_left: list[Follower] = []  # that go on in the background; Python warns of a process that nobody refers to


def start_early(trackers: Sequence[str]) -> Follower | None:
    """A follower for a run that is still to be planned, so that it has imported all when there is a run.

    None where none is needed, or where there is no second core to do it.
    """
    if "mlflow" in trackers and installed("mlflow") and (os.cpu_count() or 1) > 1:
        with contextlib.suppress(OSError):  # the run tries again, and says so
            return Follower()
    return None


class Follower:
    """The process that sends a run to MLflow, seen from the run's side. Started early, it is ready when there is a run.

    It ends by itself where there is none.
    """

    def __init__(self) -> None:
        command = python_module("harness.trackers.follow")
        with _signals_blocked():  # they go to both; the follower must outlive the run
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
        self.has_told = False  # that MLflow has failed; a person knows
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, folder: RunFolder | StudyFolder) -> None:
        """From now on it follows that run, or study. Raises OSError where it has died already."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder.path}\n")
        self._process.stdin.flush()

    def end(self, interrupted: bool = False) -> None:
        """Lets it send the rest of what has ended, and record whether MLflow has all.

        Args:
            interrupted: A signal ended the run: a store that is still being made is given up.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it may have died
            if interrupted:
                self._process.stdin.write(f"{INTERRUPTED}\n")
            self._process.stdin.close()

    def has_ended(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`, and all that it said is printed."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(PATIENCE_SECONDS)
        return True

    def settles(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether it has ended by then, or has told that MLflow has failed."""
        deadline = time.monotonic() + seconds
        while not self.has_told and (left := deadline - time.monotonic()) > 0:
            if self.has_ended(min(LOOK_SECONDS, left)):
                return True
        return self.has_told

    @property
    def problem(self) -> str:
        """Of one that has ended: what it missed, in a sentence, or nothing."""
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
    """Has a follower send the rest of a run or a study that has ended, and returns: `wait_for_rest` waits.

    Until the follower has recorded how that went, the record says that it is still being sent.
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
    """Waits for what this command's followers still send, for seconds; a signal ends that. Says what MLflow lacks then.

    The rest is sent in the background.
    """
    while _rests:
        rest = _rests.pop()
        _left.append(rest.follower)
        with contextlib.suppress(KeyboardInterrupt, Terminated):
            if rest.ends(PATIENCE_SECONDS):
                _tell(rest)
                continue
            _print_line(f"sending the rest to MLflow, for {rest.seconds:.0f} s at most (Ctrl-C: in the background)")
            if rest.ends(rest.seconds - PATIENCE_SECONDS):
                _tell(rest)
                continue
        _print_line(
            "MLflow gets the rest in the background: harness list shows whether it has all, "
            f"harness sync {quote(str(rest.folder.path))} waits for it"
        )


def _tell(rest: _Rest) -> None:
    """Says how to send what MLflow lacks, and records why if the follower could not."""
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
    _print_line(f"  missed by    mlflow: harness sync {quote(str(rest.folder.path))}")


def _tell_address(rest: _Rest) -> None:
    """Prints the address of a run's model, unless the result did: the run may be so short that it was not there yet."""
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
    """A process that is started within gets no Ctrl-C, SIGTERM or SIGHUP; this one gets them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: only Ctrl-C goes to both
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
    from harness.util.console import print_line  # with torch, which a run has imported by now

    print_line(text)
