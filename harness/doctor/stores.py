"""Checks of the trackers: MLflow's store and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.errors import HarnessError
from harness.trackers.mlflow.condition import Condition
from harness.trackers.mlflow.store import require_store, require_usable, sqlite_file, tracking_uri
from harness.util.addresses import short_address
from harness.util.packages import installed


def mlflow() -> Iterator[Finding]:
    """Checks whether the store answers and has this version's schema. Does not create or change a store."""
    if not installed("mlflow"):
        yield Finding("mlflow", WARNING, "not installed: runs are recorded only in their folders", "pip install mlflow")
        return
    uri = tracking_uri()
    file, address = sqlite_file(uri), short_address(uri)
    try:
        state = require_store(uri)
        if file is not None and state.condition is Condition.ABSENT:
            yield Finding("mlflow", OK, f"{address}, which the first run creates")
        elif file is not None and state.condition is Condition.HALF_MADE:
            fix = f"nothing: the next run renames it to {file.name}.unfinished and creates a new one"
            yield Finding("mlflow", WARNING, f"{address} is incomplete and has no runs", fix)
        elif file is not None and state.condition is Condition.OLDER:
            fix = f"nothing: the next run copies it to {file.name}.before-{state.revision}, then migrates it"
            yield Finding("mlflow", WARNING, f"{address} has an earlier schema ({state.revision or 'none'})", fix)
        else:
            require_usable(uri)
            yield Finding("mlflow", OK, f"{address} answers")
    except HarnessError as error:
        yield Finding("mlflow", PROBLEM, f"{error.what}: {error.why}", error.fix)


def tensorboard(runs: Path = Path("runs")) -> Iterator[Finding]:
    """Checks whether TensorBoard can be started, and counts the runs."""
    if not installed("tensorboard"):
        yield Finding("tensorboard", WARNING, "not installed: no curves in the browser", "pip install tensorboard")
        return
    count = sum(1 for _ in runs.glob("*/*/events.out.tfevents.*"))
    yield Finding(
        "tensorboard",
        OK,
        f"{count} run{'s' * (count > 1)} to show" if count else "nothing to show yet: harness run quickstart",
    )
