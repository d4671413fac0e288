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
    """Returns the runs under `runs`, newest first. Calls `unreadable` for a folder whose `run.json` cannot be read."""
    folders = []
    for path in runs.glob("*/*/run.json"):
        try:
            folders.append(RunFolder.open(path.parent))
        except UsageError as error:
            unreadable(path.parent, error)
    return sorted(folders, key=lambda folder: _started(folder), reverse=True)


def find_run(named: str, runs: Path) -> RunFolder:
    """Returns a run by its folder, by its id, or by the last characters of its id.

    A trial can also be named by the end of its path, such as `study-sea_forest/trial-003`.

    Args:
        named: The typed name.
        runs: The folder of all runs, where ids are looked up.

    Raises:
        UsageError: No run, or more than one, has this name.
    """
    if is_file(named) and Path(named).name != "run.json":
        why = "it is a file, and a run is a folder with records"
        raise UsageError(f"{named} is not a run folder", why, "harness list")
    if not is_folder(named):
        matches = [folder for folder in latest_runs(runs) if folder.id.endswith(named)] or trials_named(named, runs)
        if len(matches) == 1:
            return matches[0]
        if not is_file(Path(named, "run.json")):
            why = (
                f"the ids of {len(matches)} runs in {runs} end with it"
                if matches
                else f"no run id in {runs} ends with it, and there is no such folder"
            )
            raise UsageError(f"{named} is not a run folder", why, "harness list")
    return RunFolder.open(Path(named))


def trials_named(named: str, runs: Path) -> list[RunFolder]:
    """Returns the trials under `runs` whose path ends with the parts of `named`, or whose id ends with `named`.

    Leaves out folders that cannot be read, and links that point outside `runs`.
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
    """Returns the studies under `runs`, newest first."""
    folders = []
    for path in runs.glob(f"*/{PREFIX}*/study.json"):
        with contextlib.suppress(UsageError):
            folders.append(StudyFolder.open(path.parent))
    return sorted(folders, key=lambda folder: _started(folder), reverse=True)


def _started(folder: RunFolder | StudyFolder) -> float:
    return datetime.fromisoformat(folder.record.started).timestamp()
