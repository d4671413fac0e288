"""The process that follows a run folder, or a study's, and sends it to MLflow: `python -m harness.trackers.follow`.

A process of its own, so that a run waits for nothing that MLflow does: not its import, not its database, not a server
that hangs. Its input is a pipe. It begins before the run does, and imports what it needs while the run does the same on
another core. The first line that it reads is the run's folder; then nothing comes, and the pipe closes when the run has
ended, however it did, kill -9 included. What people should know it prints, a line each; its exit code is 0 where MLflow
has all.
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

from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.run import MLflow, error_line
from harness.trackers.mlflow.store import RUN_ID
from harness.trackers.mlflow.study import MLflowStudy
from harness.trackers.mlflow.unsent import send_unsent, send_unsent_studies
from harness.util.escape import terminal

POLL_SECONDS = 3.0  # between two looks at the folder: each that finds something costs 25 ms of a core
AGAIN_SECONDS = 15.0  # before MLflow is tried again, once it has failed
SLOW_SECONDS = 2.0  # what took longer to fail than this, hung


def follow(folder: RunFolder | StudyFolder, ended: threading.Event, print_line: Callable[[str], None]) -> bool:
    """Sends what is new until `ended`, then the rest. True where MLflow has all. A trouble is told once."""
    path = folder.path
    given = os.environ.pop(RUN_ID, "")  # it is this run's alone: none that is sent later takes it
    mirror = MLflowStudy(folder, given) if isinstance(folder, StudyFolder) else MLflow(folder, given=given)
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
                print_line(f"{error_line(error)}; the run goes on, and its folder has all")
            trouble = error_line(error)
            was_slow = time.monotonic() - started > SLOW_SECONDS
            rest_until = time.monotonic() + AGAIN_SECONDS
            return False
        finally:
            while mirror.notes:
                print_line(mirror.notes.pop(0))
        if trouble:
            print_line(f"{mirror.name} is there again")
        trouble, was_slow = "", False
        return True

    while not ended.is_set():
        now = _stamp(path)
        if now != seen and time.monotonic() >= rest_until and tried(mirror.send):
            if seen is None:
                _prepare(folder, ended)
            seen = now
        ended.wait(POLL_SECONDS)
    if was_slow and time.monotonic() < rest_until:  # it hung a moment ago: nobody should wait for that again
        return False
    sent = tried(mirror.finish)
    if mirror.left_out:
        print_line(f"the model is {mirror.left_out}")
    return sent


def _prepare(folder: RunFolder | StudyFolder, ended: threading.Event) -> None:
    """What there is time for now: runs that ended together with their follower."""
    path = folder.path.resolve()
    if isinstance(folder, StudyFolder) or path.name == folder.id:  # it lies where runs lie, and so do the others
        send_unsent(path.parents[1], ended.is_set)  # what cannot be sent now is tried with the next run
        send_unsent_studies(path.parents[1], ended.is_set)


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes with every epoch and every change of the record."""
    files = [path / "study.json"] if (path / "study.json").exists() else []
    for run in [*sorted(path.glob("trial-*")), path]:
        files += [run / "metrics.jsonl", run / "run.json"]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())


def _opened(path: Path) -> RunFolder | StudyFolder:
    return StudyFolder.open(path) if (path / "study.json").exists() else RunFolder.open(path)


def _wait_for_end(ended: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.buffer.read()
    ended.set()


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
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    try:
        folder = _opened(Path(path))
        with folder.sending() as alone:
            if not alone:
                _write_line(out, "another process sends this run to MLflow")
            return 0 if alone and follow(folder, ended, lambda text: _write_line(out, text)) else 1
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
