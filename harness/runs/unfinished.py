"""Interrupted runs: their progress as text, and how their folders are prepared before they resume."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from harness.errors import UsageError
from harness.runs.record_parts import ProgressRecord, ResumeRecord, Status
from harness.runs.run_folder import RunFolder
from harness.util.console_log import keep_output_in
from harness.util.files import write_whole
from harness.util.locks import lock_of
from harness.util.processes import this_process

UNFINISHED = (Status.DIED, Status.INTERRUPTED, Status.FAILED)


def can_go_on(folder: RunFolder) -> bool:
    """Returns whether `harness resume` can continue it: it is unfinished, and neither a test nor a trial."""
    record = folder.record
    return folder.status in UNFINISHED and not folder.is_test and record.study is None and bool(record.splits)


def next_progress(folder: RunFolder) -> ProgressRecord | None:
    """Returns where an unfinished run resumes, or None if all folds have ended."""
    return folder.record.progress or next_beginning(folder)


def next_beginning(folder: RunFolder) -> ProgressRecord | None:
    """Returns the start of the first unfinished fold, or None if all folds have ended."""
    done = {entry.fold for entry in folder.record.folds}
    left = [int(fold) for fold in folder.record.splits if int(fold) not in done]
    return ProgressRecord(left[0], 0, 0) if left else None


def progress_text(folder: RunFolder, progress: ProgressRecord | None) -> str:
    """Returns the saved progress of an unfinished run as text: "fold 2 of 5, epoch 7 of 20"."""
    fields = folder.record.experiment
    folds = max(1, fields.get("folds") or 1) * fields.get("repeats", 1)
    if progress is None:
        return f"all {len(folder.record.splits)} folds"
    where = "the refit" if progress.fold == 0 else f"fold {progress.fold} of {folds}"
    return f"{where}, epoch {progress.epoch} of {fields.get('epochs')}"


def claim(folder: RunFolder) -> None:
    """Takes an unfinished run for this process. Raises UsageError if another process has resumed it."""
    with lock_of(folder.path / ".resuming", wait=True):
        folder.reload()
        if folder.status is Status.RUNNING:
            why = f"in process {folder.record.pid} on {folder.record.host}"
            raise UsageError(f"{folder.path} is already running", why, "harness list")
        if folder.status not in UNFINISHED:
            why = f"another process resumed it meanwhile: its status is {folder.status}"
            raise UsageError(f"{folder.path} cannot be resumed", why, "harness list")
        folder.update(status=Status.RUNNING, **this_process())
    keep_output_in(folder.path)


def begin_again(folder: RunFolder, resume: ResumeRecord) -> None:
    """Prepares the folder of an interrupted run to resume in this process. Drops what its saved state lacks."""
    record, progress = folder.record, resume.progress
    done, rows, times = {entry.fold for entry in record.folds}, [], [0.0]
    saved = {progress.fold: progress.epoch} if progress is not None else {}
    for row in folder.epochs():
        times.append(row["time"])
        if row["fold"] in done or row["epoch"] <= saved.get(row["fold"], 0):
            rows.append(row)
    write_whole(folder.metrics, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    folder.keep_folds(done)
    if progress is None or progress.step == 0:  # the saved state is of a later fold, or of other images
        folder.unfinished.unlink(missing_ok=True)
    for path in folder.checkpoints.glob(".*.pt-????????"):  # left by a kill -9 during writing
        path.unlink(missing_ok=True)
    lasted = max(times) - datetime.fromisoformat(record.started).timestamp()
    changes: dict[str, Any] = {
        "status": Status.RUNNING,
        "error": None,
        "trackers": {},
        "progress": progress,
        "resumes": [*record.resumes, resume],
        "run_seconds": record.run_seconds or round(max(0.0, lasted), 3),
    }
    with folder.changing():  # the background process that sends to MLflow may change the record, too
        folder.update(**changes, **this_process())
