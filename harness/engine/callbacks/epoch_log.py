from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

from harness.engine.trainer import Callback, State
from harness.errors import storage_errors
from harness.util.files import append_lines, write_whole


class EpochLog(Callback):
    """Appends a line of JSON to a file after each epoch: the fold, the time, the steps, and the metrics.

    NaN and infinity are written as null.

    Args:
        path: The file, usually `metrics.jsonl`.
        fold: The number of the fold, from 1.

    Raises:
        StorageError: When an epoch ends: the file cannot be written.

    Example:
        >>> import harness
        >>> trainer = harness.Trainer(callbacks=[harness.EpochLog("metrics.jsonl")])
    """

    def __init__(self, path: Path | str, fold: int = 1) -> None:
        self._path = Path(path)
        self._fold = fold
        self.row: dict[str, Any] = {}  # the last row that was written
        self._rows: list[dict[str, Any]] = []  # of this fit

    def on_fit_start(self, state: State) -> None:
        self.row, self._rows = {}, []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Removes the rows of epochs that will be trained again."""
        self._rows = list(state_dict["rows"])
        others = [row for row in _rows(self._path) if row.get("fold") != self._fold]
        write_whole(self._path, "".join(f"{json.dumps(row)}\n" for row in (*others, *self._rows)).encode())

    def on_epoch_end(self, state: State) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in state.history[-1].items()}
        self.row = {"fold": self._fold, "time": round(time.time(), 3), "step": state.step, **finite}
        with storage_errors(self._path):
            append_lines(self._path, json.dumps(self.row))
        self._rows.append(self.row)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Returns the complete lines of a log."""
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]
