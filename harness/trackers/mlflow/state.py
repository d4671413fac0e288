"""Reads and writes a folder's record of what MLflow has of its run or study. Imports nothing heavy."""

from __future__ import annotations

import contextlib

from harness.errors import StorageError, UsageError
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.experiments import SENT
from harness.trackers.mlflow.store import is_recorded, tracking_uri
from harness.util.locks import locked

SENDING = "still being sent"  # by a process that was running when this was recorded


def state_of(folder: RunFolder | StudyFolder) -> str | None:
    """COMPLETE, "deleted there", SENDING, or why MLflow does not have it; None if nothing is recorded yet."""
    if isinstance(folder, StudyFolder):
        return folder.record.mlflow
    return folder.record.trackers.get("mlflow")


def record_state(folder: RunFolder | StudyFolder, state: str) -> None:
    """Records a state. Does nothing if the folder says COMPLETE, or if it was resumed after its record was read.

    If the disk is full, only the state is lost: the next run asks MLflow again.
    """
    with contextlib.suppress(StorageError, UsageError):
        if isinstance(folder, RunFolder):
            folder.record_trackers({"mlflow": state}, only=folder.record)
            return
        before = folder.record.process
        with folder.changing():
            if folder.record.process == before and folder.record.mlflow != COMPLETE:
                folder.update(mlflow=state)


def is_being_sent(folder: RunFolder | StudyFolder) -> bool:
    """Whether a process is sending it now. Writes nothing."""
    lock = folder.path / ".sending"
    if lock.is_symlink() or not lock.is_file():
        return False
    try:
        with locked(lock, required=False) as alone:
            return not alone
    except OSError:  # another user owns the lock file
        return False


def is_unsent(folder: RunFolder | StudyFolder) -> bool:
    """Whether it has ended, was meant for the current store, and that store lacks a part of it."""
    return (
        state_of(folder) not in SENT
        and folder.status is not Status.RUNNING
        and is_recorded(folder.record, tracking_uri())
    )


def missing_text(folder: RunFolder | StudyFolder) -> str:
    """What MLflow lacks of a run that has ended, as text for the user; empty if it has all or was not used."""
    state = state_of(folder)
    if state in SENT or "mlflow" not in folder.record.stores or folder.status is Status.RUNNING:
        return ""
    if is_being_sent(folder):
        return "being sent to MLflow"
    return f"incomplete in MLflow: {'sending was interrupted' if state in (None, SENDING) else state}"
