from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from harness.engine.trainer import Callback, State
from harness.errors import storage_errors


class EpochLog(Callback):
    """Adds a line of JSON to `path` at the end of each epoch: the fold, the time, the steps, and the metrics.

    What is not a finite number becomes null, for which alone JSON has a word. Raises StorageError.
    """

    def __init__(self, path: Path | str, fold: int = 1) -> None:
        self._path = Path(path)
        self._fold = fold
        self.row: dict[str, Any] = {}  # the last one that was written

    def on_fit_start(self, state: State) -> None:
        self.row = {}

    def on_epoch_end(self, state: State) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in state.history[-1].items()}
        self.row = {"fold": self._fold, "time": round(time.time(), 3), "step": state.step, **finite}
        with storage_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.row) + "\n")
