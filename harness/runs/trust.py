"""What was made in this project: its runs, and the experiment files that they ran.

A run folder holds a copy of its experiment's file, which can do anything once it is run, and it can come from anybody.
So nothing within it can show that it was made here. A list in `.harness/` says so, which no run folder brings along.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.util.files import locked

FOLDER = Path(".harness")
RUNS = FOLDER / "runs.jsonl"  # a line for each run, and one more for its experiment's file


def remember_run(run_id: str, data: str | None) -> None:
    """Notes that a run was made here, on the images in the folder `data`.

    Where the project cannot be written, nothing is noted: the run then counts as one from elsewhere.
    """
    _add({"run": run_id, "data": data})


def remember_code(run_id: str, code: bytes) -> None:
    """Notes the content of the experiment's file of a run that was made here."""
    _add({"run": run_id, "experiment": _digest(code)})


def made_run(run_id: str, data: str | None) -> bool:
    """Whether that run was made here, on the images in that folder."""
    return any(entry.get("run") == run_id and "data" in entry and entry["data"] == data for entry in _entries())


def made_code(run_id: str, code: bytes) -> bool:
    """Whether that run was made here, by an experiment's file of exactly this content."""
    digest = _digest(code)
    return any(entry.get("run") == run_id and entry.get("experiment") == digest for entry in _entries())


def _add(entry: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        FOLDER.mkdir(exist_ok=True)
        if not (FOLDER / ".gitignore").exists():
            (FOLDER / ".gitignore").write_text("*\n", encoding="utf-8")  # what was made on one machine is known there
        with locked(FOLDER / ".lock", wait=True), RUNS.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(entry)}\n")


def _entries() -> Iterator[dict[str, Any]]:
    try:
        lines = RUNS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):  # one that was cut short
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()
