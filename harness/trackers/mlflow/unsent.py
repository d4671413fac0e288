"""Sends what earlier runs and studies left unsent, since they were killed together with the process that sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import RemoteError
from harness.runs.find import latest_runs, latest_studies
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.experiments import DELETED, SENT, DeletedRunError
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import error_line, is_recorded, require_usable, tracking_uri
from harness.trackers.mlflow.study import MLflowStudy


def unsent_runs(runs: Path) -> list[RunFolder]:
    """Returns the ended runs under `runs` that the store of now lacks, newest first."""
    return [folder for folder in latest_runs(runs) if _is_unsent(folder)]


def unsent_studies(runs: Path) -> list[StudyFolder]:
    """Returns the ended studies under `runs` that the store of now lacks, newest first."""
    here = tracking_uri()
    return [
        folder
        for folder in latest_studies(runs)
        if folder.status is not Status.RUNNING and folder.record.mlflow not in SENT and is_recorded(folder.record, here)
    ]


def _is_unsent(folder: RunFolder) -> bool:
    return (
        folder.status is not Status.RUNNING
        and folder.record.trackers.get("mlflow") not in SENT
        and is_recorded(folder.record, tracking_uri())
    )


def send_unsent(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends what ended runs under `runs` left unsent, killed together with their follower, say: none stays RUNNING.

    Only those whose store is the one of now, and none more once there was `enough`. Returns what could not be sent, a
    line each.
    """
    left, problems = unsent_runs(runs), []
    try:
        if left:
            require_usable(tracking_uri())
    except RemoteError as error:
        return [error_line(error)]
    for folder in left:
        if enough():
            break
        try:
            with folder.sending() as alone:
                folder.reload()
                if alone and _is_unsent(folder):  # no other process has sent it, or goes on with it
                    problems += _send(folder)
        except Exception as error:  # one that cannot be sent must not keep the others from it
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
    return problems


def _send(folder: RunFolder) -> list[str]:
    """Sends one run, and records that. Returns a line if its model was left out."""
    mirror, before = MLflow(folder), folder.record
    try:
        mirror.finish()
    except DeletedRunError:
        folder.record_trackers({"mlflow": DELETED}, only=before)
        return []
    folder.record_trackers({"mlflow": COMPLETE}, only=before)
    return [f"{folder.path}: the model is {mirror.left_out}"] if mirror.left_out else []


def send_unsent_studies(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends what ended studies under `runs` left unsent, as `send_unsent` does for runs. Returns the same."""
    problems = []
    for folder in unsent_studies(runs):
        if enough():
            break
        try:
            with folder.sending() as alone:
                if alone:
                    state = COMPLETE
                    try:
                        MLflowStudy(folder).finish()
                    except DeletedRunError:
                        state = DELETED
                    with folder.changing():
                        folder.update(mlflow=state)
        except Exception as error:  # one that cannot be sent must not keep the others from it
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
    return problems
