"""Records a run from start to end: its folder says how it ended, and the trackers get the rest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from shlex import quote

from harness.errors import HarnessError, StorageError, Terminated, UsageError
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers.follower import Follower
from harness.trackers.pictures import draw_run
from harness.trackers.tracking import Tracking
from harness.util.addresses import without_secrets
from harness.util.console import print_line
from harness.util.signals import advise, at_once


@contextlib.contextmanager
def recording(
    folder: RunFolder, trackers: Sequence[str], follower: Follower | None = None, pictures: bool = True
) -> Iterator[Tracking]:
    """Yields the trackers of a run; the run happens in this block.

    After the block it writes the run's status, draws its plots and lets the trackers finish.
    """
    started = time.perf_counter() - (folder.record.run_seconds or 0.0)  # a resumed run has seconds from before
    tracking: Tracking | None = None
    _advise(folder)
    try:
        with at_once(mark=lambda: _mark_interrupted(folder, started)), folder.beating():
            tracking = Tracking(folder, trackers, follower)
            yield tracking
        folder.update(status=tracking.status, error=None, run_seconds=_since(started))
    except BaseException as error:
        with contextlib.suppress(
            StorageError, UsageError
        ):  # the error that ended the run matters more than a full disk
            folder.update(status=_status(error), error=_one_line(error), run_seconds=_since(started))
        with contextlib.suppress(StorageError, UsageError):
            _finish(folder, tracking, pictures and not isinstance(error, StorageError))
        if isinstance(error, StorageError):
            error.then(_to_go_on(folder))
        raise
    if not folder.is_test and folder.record.study is None:
        advise(f"the run has ended and is saved in {folder.path}", "harness list shows the latest runs")
    try:
        _finish(folder, tracking, pictures)
    except (StorageError, UsageError) as error:  # all results of the run are written
        print_line(f"warning: {error.what}, so it does not record what the trackers have: {error.why}")


def _finish(folder: RunFolder, tracking: Tracking | None, pictures: bool) -> None:
    """Draws the plots and lets the trackers finish; within seconds if a signal ended the run or arrives now."""
    interrupted = folder.record.status is Status.INTERRUPTED
    try:
        if pictures:
            draw_run(folder)
    except (KeyboardInterrupt, Terminated):
        interrupted = True
        raise
    finally:
        try:
            if tracking is not None:
                tracking.close(interrupted)
        finally:
            folder.record_trackers(tracking.states if tracking is not None else {})


def _advise(folder: RunFolder) -> None:
    """Sets the message for a signal that arrives during the run. The commands of tests and searches set their own."""
    if not folder.is_test and folder.record.study is None:
        name = quote(folder.typed)
        advise(f"the training so far is saved in {folder.path}", f"harness resume {name}")


def _mark_interrupted(folder: RunFolder, started: float) -> None:
    """Records an interruption if the process must end while its main thread is blocked."""
    if folder.record.status is Status.RUNNING:
        folder.update(status=Status.INTERRUPTED, error="ended by a signal", run_seconds=_since(started))


def _to_go_on(folder: RunFolder) -> str:
    """The command that continues from what a run has written."""
    if folder.record.study is not None:
        return "type the same command again, which continues"
    if folder.is_test or not (folder.path / "experiment.py").is_file():
        return "run again"
    return f"harness resume {quote(folder.typed)}"


def _status(error: BaseException) -> Status:
    return Status.INTERRUPTED if isinstance(error, (KeyboardInterrupt, Terminated)) else Status.FAILED


def _one_line(error: BaseException) -> str:
    text = f"{error.what}: {error.why}" if isinstance(error, HarnessError) else str(error)
    return without_secrets(f"{type(error).__name__}: {text}".rstrip(": "))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
