"""The process that follows a run folder, or a study's, and sends it to MLflow: `python -m harness.trackers.follow`.

A process of its own, so that a run waits for nothing that MLflow does: not its import, not its database, not a server
that hangs. Its input is a pipe. It begins before the run does, and imports what it needs while the run does the same on
another core. The first line that it reads is the run's folder; a second one comes only if the run was interrupted. The
pipe closes when the run has ended, however it did, kill -9 included. What people should know it prints, a line each.
Its exit code is 0 where MLflow has all. It records that in the folder, or why not, for `harness list`: the run may no
longer be there to say so.
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

POLL_SECONDS = 3.0  # between two looks at the folder: each that finds something costs 25 ms of a core
AGAIN_SECONDS = 15.0  # before MLflow is tried again, once it has failed
SLOW_SECONDS = 2.0  # what took longer to fail than this, hung
STOP_SECONDS = 1.0  # after an interruption: a store that is still being made then is given up
LOCKED_SECONDS = 10.0  # after the end of a run: that another process may still send it, from before it was resumed


def follow(
    folder: RunFolder | StudyFolder,
    ended: threading.Event,
    print_line: Callable[[str], None],
    stop: Callable[[], bool] = never,
) -> bool:
    """Sends what is new until `ended`, then the rest. Returns whether MLflow has all. A problem is printed once.

    Once `stop` returns True, the making of a store is given up, and nothing else is begun.
    """
    path = folder.path
    given = os.environ.pop(RUN_ID, "")  # it is this run's alone: none that is sent later takes it
    mirror: MLflow | MLflowStudy
    if isinstance(folder, StudyFolder):
        mirror = MLflowStudy(folder, given, stop=stop)
    else:
        mirror = MLflow(folder, given=given, stop=stop)
    began = folder.record.process
    seen: tuple[int, ...] | None = None
    trouble, rest_until, was_slow = "", 0.0, False

    def tried(send: Callable[[], None]) -> bool:
        nonlocal trouble, rest_until, was_slow
        started = time.monotonic()
        try:
            mirror.folder.reload()
            send()
        except Exception as error:
            if not trouble:
                print_line(f"{error_line(error)}; {GOES_ON}")
            trouble = error_line(error)
            was_slow = time.monotonic() - started > SLOW_SECONDS
            rest_until = time.monotonic() + AGAIN_SECONDS
            return False
        finally:
            while mirror.notes:
                print_line(mirror.notes.pop(0))
        if trouble:
            print_line(f"{mirror.name} {IS_BACK}")
        trouble, was_slow = "", False
        return True

    def is_resumed() -> bool:
        return isinstance(folder, RunFolder) and folder.record.process != began

    while not ended.is_set():
        now = _stamp(path)
        if now != seen and time.monotonic() >= rest_until and tried(mirror.send):
            if seen is None and not ended.is_set():
                _catch_up(folder, print_line)
            seen = now
        ended.wait(POLL_SECONDS)
    with contextlib.suppress(UsageError):
        folder.reload()
    if is_resumed():  # by a process that has a follower
        return False
    if was_slow and time.monotonic() < rest_until:  # it hung a moment ago: nobody should wait for that again
        record_state(folder, trouble)
        return False
    sent = tried(mirror.finish)
    if not sent and not was_slow and not stop():  # two processes that made the same thing at one moment, say
        time.sleep(AGAIN_SECONDS / 10)
        sent = tried(mirror.finish)
    if mirror.left_out:
        print_line(f"the model is {mirror.left_out}")
    record_state(folder, COMPLETE if sent else trouble)
    if sent and not stop():
        _catch_up(folder, print_line)
    return sent


def _catch_up(folder: RunFolder | StudyFolder, print_line: Callable[[str], None]) -> None:
    """Has another process send what earlier runs left unsent, and says what went wrong with the last of these."""
    path = folder.path.resolve()
    if not isinstance(folder, StudyFolder) and path.name != folder.id:  # it lies elsewhere than the other runs
        return
    left = waiting(path.parents[1])
    failed = [each for each in left if state_of(each) not in (None, SENDING)]
    if start_catching_up(path.parents[1], left=left) and failed:
        print_line(f"{failed[0].path} is {missing_text(failed[0])}; it is sent again, in the background")


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes with every epoch and every change of the record."""
    files = [path / "study.json"] if (path / "study.json").exists() else []
    for run in [*sorted(path.glob("trial-*")), path]:
        files += [run / "metrics.jsonl", run / "run.json"]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())


def _opened(path: Path) -> RunFolder | StudyFolder:
    return StudyFolder.open(path) if (path / "study.json").exists() else RunFolder.open(path)


def _wait_for_end(ended: threading.Event, stopped: threading.Event) -> None:
    said = ""
    with contextlib.suppress(OSError, ValueError):
        said = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    ended.set()
    if said == INTERRUPTED:
        time.sleep(STOP_SECONDS)
        stopped.set()


def _main() -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they are the run's; this process ends when the run has
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(19)  # the training comes first
    out, sys.stdout = sys.stdout, sys.stderr  # what MLflow prints is no word of ours
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
        _write_line(out, "another process sends this run to MLflow")
    except Exception as error:
        _write_line(out, error_line(error))
    return 1


def _warm_up() -> None:
    """Imports what the end of a run needs: MLflow takes 2 seconds, torch 2, the models another 2."""
    gc.disable()  # all that looking for garbage finds meanwhile is what has just been imported
    with contextlib.suppress(Exception):  # what is missing is told where it is needed
        import torchvision  # noqa: F401

        import harness.trackers.mlflow.model  # noqa: F401
    gc.enable()


def _write_line(out: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):
        print(terminal(" ".join(text.split())), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(_main())
