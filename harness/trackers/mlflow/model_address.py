"""Finds the address that MLflow's commands use for a run's model: `runs:/ID/model`.

ID is the id that MLflow gave to the run, not the id of the run folder. An SQLite store is read without MLflow, because
importing MLflow takes two seconds.
"""

from __future__ import annotations

import contextlib
import sqlite3

from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.store import is_recorded, sqlite_file, tracking_uri

RUN = """
SELECT runs.run_uuid FROM runs
JOIN tags AS own ON runs.run_uuid = own.run_uuid AND own.key = 'harness.run' AND own.value = ?
JOIN tags AS role ON runs.run_uuid = role.run_uuid AND role.key = 'harness.role' AND role.value = 'run'
WHERE runs.lifecycle_stage = 'active' ORDER BY runs.start_time LIMIT 1
"""
WAIT_SECONDS = 0.5  # for a locked store: printing a result must not wait long for this one line
SERVE = "mlflow models serve --env-manager local -m"  # serves the model at an address over HTTP


def model_line(folder: RunFolder) -> str:
    """A line with the address of a run's model and the command that serves it; empty if the address is not known."""
    address = model_address(folder)
    return f"{address}  ({SERVE} {address})" if address else ""


def address_of(run_id: str) -> str:
    """The address of the model that a run of MLflow has logged."""
    return f"runs:/{run_id}/model"


def model_address(folder: RunFolder) -> str:
    """Returns the address of a run's model in MLflow. The model itself may still be being sent.

    Empty if the run has no model, if the store is not an SQLite file, or if the store does not have the run.
    """
    uri = tracking_uri()
    file = sqlite_file(uri)
    if file is None or not file.is_file() or folder.is_test or folder.model_to_use() is None:
        return ""
    if not is_recorded(folder.record, uri):
        return ""
    with contextlib.suppress(sqlite3.Error):
        address = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=WAIT_SECONDS, uri=True)) as store:
            row = store.execute(RUN, [folder.id]).fetchone()
        return "" if row is None else address_of(row[0])
    return ""
