"""Sends earlier runs and studies that MLflow lacks, for example because their sending process was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import RemoteError
from harness.runs.find import latest_runs, latest_studies
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.experiments import DELETED, DeletedRunError
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.state import SENDING, is_being_sent, is_unsent, record_state, state_of
from harness.trackers.mlflow.store import error_line, require_usable, tracking_uri
from harness.trackers.mlflow.study import MLflowStudy


def unsent_runs(runs: Path) -> list[RunFolder]:
    """Returns the ended runs under `runs` that the current store lacks, newest first."""
    return [folder for folder in latest_runs(runs) if is_unsent(folder)]


def unsent_studies(runs: Path) -> list[StudyFolder]:
    """Returns the ended studies under `runs` that the current store lacks, newest first."""
    return [folder for folder in latest_studies(runs) if is_unsent(folder)]


def waiting(runs: Path) -> list[RunFolder | StudyFolder]:
    """Returns the unsent runs and studies that no process is sending now."""
    folders: list[RunFolder | StudyFolder] = [*unsent_runs(runs), *unsent_studies(runs)]
    return [folder for folder in folders if not is_being_sent(folder)]


def send_unsent(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends the ended runs under `runs` that the current store lacks. No run stays RUNNING there.

    Stops when `enough` returns True.

    Returns:
        One line for each run that could not be sent; the run's record gets the reason, too.
    """
    left, problems = unsent_runs(runs), []
    try:
        if left:
            require_usable(tracking_uri())
    except RemoteError as error:
        for folder in left:
            if state_of(folder) in (None, SENDING) and not is_being_sent(folder):
                record_state(folder, error_line(error))
        return [error_line(error)]
    for folder in left:
        if enough():
            break
        try:
            with folder.sending() as alone:
                folder.reload()
                if alone and is_unsent(folder):  # no other process has sent it or resumed it
                    problems += _send(folder)
        except Exception as error:  # one run that cannot be sent must not stop the others
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
            record_state(folder, error_line(error))
    return problems


def _send(folder: RunFolder) -> list[str]:
    """Sends one run and records that. Returns a line if its model was left out."""
    mirror, before = MLflow(folder), folder.record
    try:
        mirror.finish()
    except DeletedRunError:
        folder.record_trackers({"mlflow": DELETED}, only=before)
        return []
    folder.record_trackers({"mlflow": COMPLETE}, only=before)
    return [f"{folder.path}: the model is {mirror.left_out}"] if mirror.left_out else []


def send_unsent_studies(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Does for studies what `send_unsent` does for runs."""
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
        except Exception as error:  # one study that cannot be sent must not stop the others
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
            record_state(folder, error_line(error))
    return problems
