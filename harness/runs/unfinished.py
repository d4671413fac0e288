"""Runs that were cut off, as far as their records tell: how far they came, for people."""

from __future__ import annotations

from harness.runs.record_parts import ProgressRecord, Status
from harness.runs.run_folder import RunFolder

UNFINISHED = (Status.DIED, Status.INTERRUPTED, Status.FAILED)


def can_go_on(folder: RunFolder) -> bool:
    """Whether `harness resume` goes on with it: it was cut off, and is neither a test nor a trial of a search."""
    record = folder.record
    return folder.status in UNFINISHED and not folder.is_test and record.study is None and bool(record.splits)


def next_progress(folder: RunFolder) -> ProgressRecord | None:
    """From where an unfinished run goes on, as its record says; None if all folds have ended."""
    record = folder.record
    if record.progress is not None:
        return record.progress
    done = {entry.fold for entry in record.folds}
    left = [int(fold) for fold in record.splits if int(fold) not in done]
    return ProgressRecord(left[0], 0, 0) if left else None


def progress_text(folder: RunFolder, progress: ProgressRecord | None) -> str:
    """How far an unfinished run is saved: "fold 2 of 5, epoch 7 of 20"."""
    record = folder.record
    if progress is None:
        return f"all {len(record.splits)} folds"
    where = "the refit" if progress.fold == 0 else f"fold {progress.fold} of {len(record.splits)}"
    return f"{where}, epoch {progress.epoch} of {record.experiment.get('epochs')}"
