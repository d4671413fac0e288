"""Checks whether an SQLite store has a whole run, without MLflow, whose import takes two seconds.

It reads MLflow's tables. If it cannot be sure, it returns False, and MLflow is asked.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping

from harness.runs.run_folder import COMPLETE, RunFolder
from harness.trackers.mlflow.experiments import FILE_TAG
from harness.trackers.mlflow.place import are_gone, is_elsewhere, local_folder
from harness.trackers.mlflow.run import STATUS
from harness.trackers.mlflow.state import is_being_sent, state_of
from harness.trackers.mlflow.store import is_recorded, sqlite_file
from harness.util.files import file_md5

RUNS = """
SELECT runs.run_uuid, runs.status, runs.artifact_uri FROM runs JOIN tags ON runs.run_uuid = tags.run_uuid
WHERE tags.key = 'harness.run' AND tags.value = ? AND runs.lifecycle_stage = 'active'
"""
MODELS = "SELECT artifact_location FROM logged_models WHERE source_run_id = ? AND lifecycle_stage = 'active'"
TAGS = "SELECT key, value FROM tags WHERE run_uuid = ?"


def has_all(uri: str, folder: RunFolder) -> bool:
    """Whether the record says that the store at `uri` is complete, and the store has the run, folds, files and model.

    False if that is not known.
    """
    file, record = sqlite_file(uri), folder.record
    if file is None or not file.is_file() or state_of(folder) != COMPLETE or is_being_sent(folder):
        return False
    if not is_recorded(record, uri):
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as store:
            runs = store.execute(RUNS, [folder.id]).fetchall()
            tagged = [(dict(store.execute(TAGS, [run])), *rest) for run, *rest in runs]
            places = [place for run, *_ in runs for (place,) in store.execute(MODELS, [run])]
    except sqlite3.Error:
        return False
    parents = [run for run in tagged if run[0].get("harness.role") == "run"]
    folds = {tags.get("harness.fold") for tags, status, _ in tagged if status == "FINISHED"}
    if len(parents) != 1 or not {str(entry.fold) for entry in record.folds} <= folds:
        return False
    ((tags, status, place),) = parents
    files = local_folder(place)
    return (
        status == STATUS.get(folder.status, "FAILED")
        and files is not None
        and (files / folder.FILE).is_file()
        and not is_elsewhere(uri, place)
        and _has_model(tags, folder)
        and not any(are_gone(uri, place) for place in places)
    )


def _has_model(tags: Mapping[str, str], folder: RunFolder) -> bool:
    """Whether the model that was sent belongs to the current checkpoint, or the run has no model."""
    model = folder.model_to_use()
    if folder.is_test or model is None or not folder.checkpoint_of(model).is_file():
        return True
    return tags.get(FILE_TAG) == file_md5(folder.checkpoint_of(model))
