"""By which address MLflow's commands take the model of a run: `runs:/ID/model`.

MLflow chooses the ids of its runs, so the id of a run folder is no part of it. An SQLite store is asked without
MLflow, whose import alone takes two seconds.
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
WAIT_SECONDS = 0.5  # for a store that somebody writes to: a result is not held up by a line of it
SERVE = "mlflow models serve --env-manager local -m"  # answers over HTTP with the model at an address


def model_line(folder: RunFolder) -> str:
    """The address of a run's model, and how to serve it, for people; empty if it is not known."""
    address = model_address(folder)
    return f"{address}  ({SERVE} {address})" if address else ""


def address_of(run_id: str) -> str:
    """The address of the model that a run of MLflow has logged."""
    return f"runs:/{run_id}/model"


def model_address(folder: RunFolder) -> str:
    """Returns the address of a run's model in MLflow, which may still be on its way there.

    Empty if the run has no model, or if the store is no SQLite file, or has no such run.
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
            found = store.execute(RUN, [folder.id]).fetchone()
        return "" if found is None else address_of(found[0])
    return ""
