"""Finds runs and studies below the folder of all runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.errors import UsageError
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import PREFIX, StudyFolder
from harness.util.files import is_file, is_folder
from harness.util.schema import is_inside


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

    A trial is also known by how its folder's path ends, such as `study-sea_forest/trial-003`.

    Raises UsageError for none.
    """
    if is_file(named) and Path(named).name != "run.json":
        why = "it is a file, and what is asked for is the folder of a run with its records"
        raise UsageError(f"{named} is no run folder", why, "harness list")
    if not is_folder(named):
        matches = [folder for folder in latest_runs(runs) if folder.id.endswith(named)] or trials_named(named, runs)
        if len(matches) == 1:
            return matches[0]
        if not is_file(Path(named, "run.json")):
            why = (
                f"{len(matches)} runs in {runs} end so"
                if matches
                else f"no run in {runs} ends so, and no file is there"
            )
            raise UsageError(f"{named} is no run folder", why, "harness list")
    return RunFolder.open(Path(named))


def trials_named(named: str, runs: Path) -> list[RunFolder]:
    """The trials of all studies under `runs` whose folder's path ends with the parts of `named`, or whose id so ends.

    A folder that cannot be read, or that is a link which leads out of `runs`, is left out.
    """
    parts = Path(named).parts
    paths = [path.parent for path in runs.glob(f"*/{PREFIX}*/trial-*/run.json") if is_inside(path.parent, runs)]
    ending = [path for path in paths if parts and path.parts[-len(parts) :] == parts]
    trials = []
    for path in sorted(ending or paths):
        with contextlib.suppress(UsageError):
            trials.append(RunFolder.open(path))
    return [trial for trial in trials if ending or trial.id.endswith(named)]


def latest_studies(runs: Path) -> list[StudyFolder]:
    """Each study under `runs`, the one that began last first."""
    folders = []
    for path in runs.glob(f"*/{PREFIX}*/study.json"):
        with contextlib.suppress(UsageError):
            folders.append(StudyFolder.open(path.parent))
    return sorted(folders, key=lambda folder: _started(folder), reverse=True)


def _started(folder: RunFolder | StudyFolder) -> float:
    return datetime.fromisoformat(folder.record.started).timestamp()
