"""The process that sends a run to MLflow, seen from the run's side. This imports nothing heavy: it is for the start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.util.packages import installed
from harness.util.processes import python_module

if TYPE_CHECKING:
    from harness.runs.run_folder import RunFolder
    from harness.runs.study_folder import StudyFolder

MOST_SECONDS = 300.0  # that a run waits at its end for what MLflow still lacks
INTERRUPTED = "interrupted"  # the line that a follower reads if a signal ended the run
INTERRUPTED_SECONDS = 2.0  # that such a run waits
PATIENCE_SECONDS = 2.0  # before a person is told what the run is waiting for
_LEFT: list[subprocess.Popen[str]] = []  # that go on in the background; Python warns of one that nobody refers to


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
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    def begin(self, folder: RunFolder | StudyFolder) -> None:
        """From now on it follows that run, or study. Raises OSError where it has died already."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder.path}\n")
        self._process.stdin.flush()

    def finish(self, at_most: float | None = None) -> str:
        """Lets it send the rest, and waits for that. Returns what it missed, in a sentence, or nothing.

        Args:
            at_most: Of a run that a signal ended: the seconds to wait. Then the rest is sent in the background.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it may have died
            if at_most is not None:
                self._process.stdin.write(f"{INTERRUPTED}\n")
            self._process.stdin.close()
        try:
            try:
                code = self._process.wait(PATIENCE_SECONDS if at_most is None else at_most)
            except subprocess.TimeoutExpired:
                if at_most is not None:
                    _LEFT.append(self._process)
                    return "it was still being sent when the run was interrupted"
                _print_line("sending the rest to MLflow (Ctrl-C: in the background)")
                code = self._process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            _LEFT.append(self._process)
            return f"it was still being sent after {MOST_SECONDS:.0f} s"
        except KeyboardInterrupt:  # it goes on by itself: a run must not stay RUNNING there
            _LEFT.append(self._process)
            return "it was still being sent when Ctrl-C was pressed"
        self._reader.join(PATIENCE_SECONDS)
        if code and not self._last:
            self._last = f"the process that sends to MLflow ended with {code}"
            _print_line(f"warning: {self._last}")
        return self._last if code else ""

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._last = line.strip()
                _print_line(f"warning: {self._last}")


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
