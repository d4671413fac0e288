"""Where runs are shown: MLflow's store and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.errors import HarnessError
from harness.trackers.mlflow.store import require_usable, sqlite_file, tracking_uri
from harness.util.addresses import short_address
from harness.util.packages import installed


def mlflow() -> Iterator[Finding]:
    """Whether the store answers, and is of this version. A store that is not there yet is not made."""
    if not installed("mlflow"):
        yield Finding(
            "mlflow", WARNING, "not installed: runs are recorded in their folders alone", "pip install mlflow"
        )
        return
    uri = tracking_uri()
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        yield Finding("mlflow", OK, f"{short_address(uri)}, which the first run makes")
        return
    try:
        notes = require_usable(uri)
    except HarnessError as error:
        yield Finding("mlflow", PROBLEM, f"{error.what}: {error.why}", error.fix)
        return
    for note in notes:
        yield Finding("mlflow", WARNING, note, "nothing: a new store was made")
    yield Finding("mlflow", OK, f"{short_address(uri)} answers")


def tensorboard(runs: Path = Path("runs")) -> Iterator[Finding]:
    """Whether it can be started, and has something to show."""
    if not installed("tensorboard"):
        yield Finding("tensorboard", WARNING, "not installed: no curves in the browser", "pip install tensorboard")
        return
    count = sum(1 for _ in runs.glob("*/*/events.out.tfevents.*"))
    yield Finding(
        "tensorboard",
        OK,
        f"{count} run{'s' * (count > 1)} to show" if count else "nothing to show yet: harness run quickstart",
    )
