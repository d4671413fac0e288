"""The process that follows a run folder, or a study's, and sends it to MLflow: `python -m harness.trackers.follow`.

It is a separate process so that a run never waits for MLflow: not for its import, its database or a server that hangs.
It starts before the run, and imports what it needs on another core while the run does the same.

Its standard input is a pipe. The first line is the run's folder. A second line comes only if the run was interrupted.
The pipe closes when the run has ended for any reason, even `kill -9`. The process prints one line for each thing that
the user should know. Its exit code is 0 if MLflow has the whole run. It records that in the folder, or why not, for
`harness list`, because the run's own process may have ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from harness.errors import UsageError
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.catch_up import start_catching_up
from harness.trackers.follower import GOES_ON, INTERRUPTED, IS_BACK
from harness.trackers.mlflow.database import never
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.state import SENDING, missing_text, record_state, state_of
from harness.trackers.mlflow.store import RUN_ID, error_line
from harness.trackers.mlflow.study import MLflowStudy
from harness.trackers.mlflow.unsent import waiting
from harness.util.escape import terminal

POLL_SECONDS = 3.0  # between two checks of the folder: each check that finds something takes 25 ms of one core
AGAIN_SECONDS = 15.0  # after a failure, before MLflow is tried again
SLOW_SECONDS = 2.0  # a call that takes longer than this before it fails has hung
STOP_SECONDS = 1.0  # after an interruption, until a store that is still being made is given up
LOCKED_SECONDS = 10.0  # after the end of a run, to wait for another process that still sends it from before a resume


def follow(
    folder: RunFolder | StudyFolder,
    ended: threading.Event,
    print_line: Callable[[str], None],
    stop: Callable[[], bool] = never,
) -> bool:
    """Sends what is new until `ended` is set, then the rest. Prints a problem once.

    Args:
        folder: The run or study.
        ended: Is set when the run has ended.
        print_line: Prints one line for the user.
        stop: Once it returns True, a store that is being made is given up, and nothing more is started.

    Returns:
        Whether MLflow has the whole run.
    """
    path = folder.path
    given = os.environ.pop(RUN_ID, "")  # only this run may use it: no run that is sent later takes it
    mirror: MLflow | MLflowStudy
    if isinstance(folder, StudyFolder):
        mirror = MLflowStudy(folder, given, stop=stop)
    else:
        mirror = MLflow(folder, given=given, stop=stop)
    began = folder.record.process
    sent_stamp: tuple[int, ...] | None = None
    problem, rest_until, was_slow = "", 0.0, False

    def has_sent(send: Callable[[], None]) -> bool:
        nonlocal problem, rest_until, was_slow
        started = time.monotonic()
        try:
            mirror.folder.reload()
            send()
        except Exception as error:
            if not problem:
                print_line(f"{error_line(error)}; {GOES_ON}")
            problem = error_line(error)
            was_slow = time.monotonic() - started > SLOW_SECONDS
            rest_until = time.monotonic() + AGAIN_SECONDS
            return False
        finally:
            while mirror.warnings:
                print_line(mirror.warnings.pop(0))
        if problem:
            print_line(f"{mirror.name} {IS_BACK}")
        problem, was_slow = "", False
        return True

    def is_resumed() -> bool:
        return isinstance(folder, RunFolder) and folder.record.process != began

    while not ended.is_set():
        now = _stamp(path)
        if now != sent_stamp and time.monotonic() >= rest_until and has_sent(mirror.send):
            if sent_stamp is None and not ended.is_set():
                _catch_up(folder, print_line)
            sent_stamp = now
        ended.wait(POLL_SECONDS)
    with contextlib.suppress(UsageError):
        folder.reload()
    if is_resumed():  # the process that resumed it has its own follower
        return False
    if was_slow and time.monotonic() < rest_until:  # it has just hung: nobody should wait for that again
        record_state(folder, problem)
        return False
    sent = has_sent(mirror.finish)
    if not sent and not was_slow and not stop():  # for example, two processes made the same thing at the same time
        time.sleep(AGAIN_SECONDS / 10)
        sent = has_sent(mirror.finish)
    if mirror.left_out:
        print_line(f"the model is {mirror.left_out}")
    record_state(folder, COMPLETE if sent else problem)
    if sent and not stop():
        _catch_up(folder, print_line)
    return sent


def _catch_up(folder: RunFolder | StudyFolder, print_line: Callable[[str], None]) -> None:
    """Starts a process that sends earlier unsent runs, and prints why the latest of them had failed."""
    path = folder.path.resolve()
    if not isinstance(folder, StudyFolder) and path.name != folder.id:  # it is not in the folder of all runs
        return
    left = waiting(path.parents[1])
    failed = [unsent for unsent in left if state_of(unsent) not in (None, SENDING)]
    if start_catching_up(path.parents[1], left=left) and failed:
        print_line(f"{failed[0].path} is {missing_text(failed[0])}; it is now sent again in the background")


def _stamp(path: Path) -> tuple[int, ...]:
    """Modification times, which change with each epoch and each change of the record."""
    files = [path / "study.json"] if (path / "study.json").exists() else []
    for run in [*sorted(path.glob("trial-*")), path]:
        files += [run / "metrics.jsonl", run / "run.json"]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())


def _opened(path: Path) -> RunFolder | StudyFolder:
    return StudyFolder.open(path) if (path / "study.json").exists() else RunFolder.open(path)


def _wait_for_end(ended: threading.Event, stopped: threading.Event) -> None:
    line = ""
    with contextlib.suppress(OSError, ValueError):
        line = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    ended.set()
    if line == INTERRUPTED:
        time.sleep(STOP_SECONDS)
        stopped.set()


def _main() -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they are meant for the run; this process ends after the run
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(19)  # the training comes first
    out, sys.stdout = sys.stdout, sys.stderr  # what MLflow prints is not for the user
    _warm_up()
    path = os.fsdecode(sys.stdin.buffer.readline().strip(b"\n"))
    if not path:  # there is no run: the plan was refused
        return 0
    ended, stopped = threading.Event(), threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended, stopped), daemon=True).start()
    try:
        folder = _opened(Path(path))
        waited = 0.0
        while waited < LOCKED_SECONDS:
            with folder.sending() as alone:
                if alone:
                    return 0 if follow(folder, ended, lambda text: _write_line(out, text), stopped.is_set) else 1
            time.sleep(POLL_SECONDS / 6)
            waited += POLL_SECONDS / 6 if ended.is_set() else 0
        _write_line(out, "another process is sending this run to MLflow")
    except Exception as error:
        _write_line(out, error_line(error))
    return 1


def _warm_up() -> None:
    """Imports what the end of a run needs: MLflow takes 2 seconds, torch 2 and torchvision 2."""
    gc.disable()  # imports create many objects and no garbage, so collecting would only cost time
    with contextlib.suppress(Exception):  # a missing package raises again where it is needed
        import torchvision  # noqa: F401

        import harness.trackers.mlflow.model  # noqa: F401
    gc.enable()


def _write_line(out: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):
        print(terminal(" ".join(text.split())), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(_main())
