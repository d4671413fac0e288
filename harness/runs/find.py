"""Finds runs and studies below the folder of all runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.errors import UsageError
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import PREFIX, StudyFolder


def latest_runs(
    runs: Path, unreadable: Callable[[Path, UsageError], None] = lambda _path, _why: None
) -> list[RunFolder]:
    """Each run under `runs`, newest first; `unreadable` is called for a folder whose `run.json` cannot be read."""
    folders = []
    for path in runs.glob("*/*/run.json"):
        try:
            folders.append(RunFolder.open(path.parent))
        except UsageError as error:
            unreadable(path.parent, error)
    return sorted(folders, key=lambda folder: _started(folder), reverse=True)


def find_run(named: str, runs: Path) -> RunFolder:
    """The run that `named` means: a folder, or the id of one under `runs`, or how one id there ends.

    Raises UsageError for none.
    """
    if Path(named).is_file() and Path(named).name != "run.json":
        why = "it is a file, and what is asked for is the folder of a run with its records"
        raise UsageError(f"{named} is no run folder", why, "harness list shows the latest runs")
    if not Path(named).is_dir():
        matches = [folder for folder in latest_runs(runs) if folder.id.endswith(named)]
        if len(matches) == 1:
            return matches[0]
        if not (Path(named) / "run.json").exists():
            why = (
                f"{len(matches)} runs in {runs} end so"
                if matches
                else f"no run in {runs} ends so, and no file is there"
            )
            raise UsageError(f"{named} is no run folder", why, "harness list shows the latest runs")
    return RunFolder.open(Path(named))


def latest_studies(runs: Path) -> list[StudyFolder]:
    """Each study under `runs`, the one that began last first."""
    folders = []
    for path in runs.glob(f"*/{PREFIX}*/study.json"):
        with contextlib.suppress(UsageError):
            folders.append(StudyFolder.open(path.parent))
    return sorted(folders, key=lambda folder: _started(folder), reverse=True)


def _started(folder: RunFolder | StudyFolder) -> float:
    return datetime.fromisoformat(folder.record.started).timestamp()
