"""Sends what earlier runs and studies left unsent, since they were killed together with the process that sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import RemoteError
from harness.runs.find import latest_runs, latest_studies
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE
from harness.trackers.mlflow.experiments import DELETED, SENT, DeletedRunError
from harness.trackers.mlflow.run import MLflow, error_line
from harness.trackers.mlflow.store import is_recorded, require_usable, tracking_uri
from harness.trackers.mlflow.study import MLflowStudy


def send_unsent(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends what ended runs under `runs` left unsent, killed together with their follower, say: none stays RUNNING.

    Only those whose store is the one of now, and none more once there was `enough`. Returns what could not be sent, a
    line each.
    """
    here = tracking_uri()
    left = [
        folder
        for folder in latest_runs(runs)
        if folder.status is not Status.RUNNING
        and folder.record.trackers.get("mlflow") not in SENT
        and is_recorded(folder.record, here)
    ]
    problems = []
    try:
        if left:
            require_usable(here)
    except RemoteError as error:
        return [error_line(error)]
    for folder in left:
        if enough():
            break
        try:
            with folder.sending() as alone:
                folder.reload()
                known = folder.record.trackers
                if alone and known.get("mlflow") not in SENT:
                    mirror = MLflow(folder)
                    try:
                        mirror.finish()
                    except DeletedRunError:
                        folder.update(trackers={**known, "mlflow": DELETED})
                        continue
                    problems += [f"{folder.path}: the model is {mirror.left_out}"] if mirror.left_out else []
                    folder.update(trackers={**known, "mlflow": COMPLETE})
        except Exception as error:  # one that cannot be sent must not keep the others from it
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
    return problems


def send_unsent_studies(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends what ended studies under `runs` left unsent, as `settle` does for runs. A line for each that failed."""
    here, problems = tracking_uri(), []
    for folder in latest_studies(runs):
        record = folder.record
        unsent = record.mlflow not in SENT and is_recorded(record, here)
        if enough() or folder.status is Status.RUNNING or not unsent:
            continue
        try:
            with folder.sending() as alone:
                if alone:
                    state = COMPLETE
                    try:
                        MLflowStudy(folder).finish()
                    except DeletedRunError:
                        state = DELETED
                    folder.reload()
                    folder.update(mlflow=state)
        except Exception as error:  # one that cannot be sent must not keep the others from it
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
    return problems
