"""`runs/<experiment>/<yyyymmdd-hhmmss>-<id>/`: the plain files of one run, written as it goes."""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.checkpoint import write_whole
from harness.engine import Callback, State
from harness.errors import storing
from harness.evaluate import Prediction, predictions_csv

UNFINISHED = "running"


class RunFolder:
    """One run's folder: `run.json`, `metrics.jsonl`, `predictions.csv`, `checkpoints/`. Raises StorageError."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @classmethod
    def create(cls, runs: Path, name: str, record: dict[str, Any]) -> RunFolder:
        """A new folder under `runs/name`, with a `run.json` that says that it is running, where and since when."""
        now = datetime.now().astimezone()
        path = runs / name / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with storing(path):
            (path / "checkpoints").mkdir(parents=True)
        started = {"started": now.isoformat(timespec="milliseconds"), "pid": os.getpid(), "host": socket.gethostname()}
        folder = cls(path, {"name": name, "status": UNFINISHED, **started, **record})
        folder.update()
        return folder

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def update(self, **changes: Any) -> None:
        """Changes the record, and writes `run.json` in one step."""
        record = self.record | changes
        text = json.dumps(record, indent=2, default=str)
        self.record = record
        write_whole(self.path / "run.json", f"{text}\n".encode())

    def write_predictions(self, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
        """Writes all predictions so far, in one step."""
        write_whole(self.path / "predictions.csv", predictions_csv(predictions, classes))

    def keep_copy(self, experiment_file: Path) -> None:
        """Copies the experiment's file to `experiment.py`."""
        write_whole(self.path / "experiment.py", experiment_file.read_bytes())

    def epoch_log(self, fold: int) -> Callback:
        """A callback that adds a line to `metrics.jsonl` at the end of each epoch."""
        return _EpochLog(self.path / "metrics.jsonl", fold)


class _EpochLog(Callback):
    def __init__(self, path: Path, fold: int) -> None:
        self._path = path
        self._fold = fold

    def on_epoch_end(self, state: State) -> None:
        # JSON has no words for what is not a finite number
        finite = {name: value if math.isfinite(value) else None for name, value in state.history[-1].items()}
        row = {"fold": self._fold, "time": round(time.time(), 3), "step": state.step, **finite}
        with storing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def latest_runs(runs: Path) -> list[tuple[Path, dict[str, Any]]]:
    """(folder, record) of each run under `runs`, newest first; a folder without a readable `run.json` is passed over.

    A run that says it is running, but whose process on this machine is gone, is given the status "died".
    """
    found = []
    for path in runs.glob("*/*/run.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            started = datetime.fromisoformat(record["started"]).timestamp()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
        if record.get("status") == UNFINISHED and _is_gone(record):
            record["status"] = "died"
        found.append((started, path.parent, record))
    return [(folder, record) for _, folder, record in sorted(found, key=lambda run: run[0], reverse=True)]


def _is_gone(record: dict[str, Any]) -> bool:
    if record.get("host") != socket.gethostname() or os.name != "posix":
        return False  # another machine's process, or a system where asking could end it
    try:
        os.kill(int(record.get("pid", 0)), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError, TypeError):
        return False
    return False
