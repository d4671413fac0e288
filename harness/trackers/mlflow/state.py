"""What MLflow has of a run or a study, as its folder records it: all of it, or why not. This imports nothing heavy."""

from __future__ import annotations

import contextlib

from harness.errors import StorageError, UsageError
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.experiments import SENT
from harness.trackers.mlflow.store import is_recorded, tracking_uri
from harness.util.locks import locked

SENDING = "still being sent"  # by a process that was there when this was recorded


def state_of(folder: RunFolder | StudyFolder) -> str | None:
    """COMPLETE, "deleted there", SENDING, or why it is not there; None if nobody has said anything yet."""
    if isinstance(folder, StudyFolder):
        return folder.record.mlflow
    return folder.record.trackers.get("mlflow")


def record_state(folder: RunFolder | StudyFolder, state: str) -> None:
    """Records a state. Does nothing if the folder says COMPLETE, or if it has gone on since its record was read.

    A disk that is full costs the state alone: MLflow is asked again by the next run.
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
    """Whether a process sends it at this moment. Writes nothing."""
    lock = folder.path / ".sending"
    if lock.is_symlink() or not lock.is_file():
        return False
    try:
        with locked(lock, required=False) as alone:
            return not alone
    except OSError:  # another user's
        return False


def is_unsent(folder: RunFolder | StudyFolder) -> bool:
    """Whether it has ended, and the store of now, which it was meant for, lacks a part of it."""
    return (
        state_of(folder) not in SENT
        and folder.status is not Status.RUNNING
        and is_recorded(folder.record, tracking_uri())
    )


def missing_text(folder: RunFolder | StudyFolder) -> str:
    """What MLflow lacks of what has ended, for people; an empty string if it has all, or was not wanted."""
    state = state_of(folder)
    if state in SENT or "mlflow" not in folder.record.stores or folder.status is Status.RUNNING:
        return ""
    if is_being_sent(folder):
        return "being sent to MLflow"
    return f"not whole in MLflow: {'sending was cut off' if state in (None, SENDING) else state}"
