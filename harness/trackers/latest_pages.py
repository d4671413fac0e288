"""Which pages of TensorBoard and MLflow show the runs that were made last."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from harness.runs.find import latest_runs, latest_studies
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.store import sqlite_file

# MLflow shows the menu for language models unless the address says otherwise. It remembers the last choice.
FOR_TRAINING = "?workflowType=machine_learning"
ALL_EXPERIMENTS = f"/#/experiments{FOR_TRAINING}"
EXPERIMENT = """
SELECT experiments.experiment_id, experiments.name FROM runs
JOIN tags ON runs.run_uuid = tags.run_uuid AND tags.key IN ('harness.run', 'harness.study')
JOIN experiments ON runs.experiment_id = experiments.experiment_id
WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
ORDER BY runs.start_time DESC LIMIT 1
"""


def mlflow_page(uri: str) -> tuple[str, str]:
    """(the page of the experiment with the latest run, its name): the page of all experiments if that is not known.

    Only an SQLite store is asked: it answers at once, and without MLflow.
    """
    file = sqlite_file(uri)
    if file is not None and file.is_file():
        with contextlib.suppress(sqlite3.Error):
            address = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, timeout=0.5, uri=True)) as store:
                latest = store.execute(EXPERIMENT).fetchone()
            if latest is not None:
                return f"/#/experiments/{latest[0]}/runs{FOR_TRAINING}", str(latest[1])
    return ALL_EXPERIMENTS, ""


def tensorboard_page(runs: Path) -> tuple[str, str]:
    """(the page with the curves of the latest run or study, its name): the page of all runs if there is none."""
    run = next((folder for folder in latest_runs(runs) if any(folder.path.glob("**/events.out.tfevents.*"))), None)
    folders: list[RunFolder | StudyFolder] = [*([] if run is None else [run]), *latest_studies(runs)[:1]]
    if not folders:
        return "/", ""
    name = max(folders, key=lambda folder: datetime.fromisoformat(folder.record.started)).path.name
    return f"/?runFilter={quote(name.replace('.', '[.]'))}#timeseries", name
