"""Lists the runs, tests and studies in the folder of all runs, with their contents and disk use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from harness.errors import UsageError
from harness.runs.contents import KINDS, MODELS, kind_of, strange_files
from harness.runs.find import find_run, latest_runs, latest_studies
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.util.disk import Entry, entries_below, room_of

RUN, TEST, STUDY = "run", "test", "study"
UNREADABLE = "unreadable"


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run, a test or a study on the disk.

    Attributes:
        path: Of its folder.
        folder: Its folder, with the record; None if the record cannot be read.
        entries: All files and folders in it.
        trials: The trials of a study on this machine.
    """

    path: Path
    folder: RunFolder | StudyFolder | None
    entries: tuple[Entry, ...] = field(repr=False)
    trials: tuple[RunFolder, ...] = field(default=(), repr=False)

    @property
    def kind(self) -> str:
        if isinstance(self.folder, StudyFolder):
            return STUDY
        return TEST if self.folder is not None and self.folder.is_test else RUN

    @cached_property
    def status(self) -> str:
        """The status. A study is also RUNNING while one of its trials is running."""
        if self.folder is None:
            return UNREADABLE
        return Status.RUNNING if any(trial.status is Status.RUNNING for trial in self.trials) else self.folder.status

    @property
    def ids(self) -> set[str]:
        """Its id, and the ids of its trials."""
        ids = {self.path.name, *(trial.id for trial in self.trials)}
        if self.folder is not None and self.folder.record.id is not None:
            ids.add(self.folder.record.id)
        return ids

    @property
    def accuracy(self) -> float | None:
        """The accuracy; for a study, that of its best trial."""
        if isinstance(self.folder, StudyFolder):
            result = self.folder.record.result
            return result.best.accuracy if result and result.best else None
        return self.folder.record.accuracy if self.folder is not None else None

    @property
    def began(self) -> float:
        """Its start time, in seconds since 1970; for an unreadable record, the last change of its folder."""
        if self.folder is None:
            with contextlib.suppress(OSError):
                return self.path.stat().st_mtime
            return time.time()
        return datetime.fromisoformat(self.folder.record.started).timestamp()

    @cached_property
    def bytes(self) -> int:
        return room_of(self.entries)

    @cached_property
    def bytes_by_kind(self) -> dict[str, int]:
        """Disk use of each of KINDS, in bytes."""
        parts = {kind: room_of(entry for entry in self.entries if kind_of(entry.path) == kind) for kind in KINDS}
        return {kind: count for kind, count in parts.items() if count}

    @cached_property
    def has_models(self) -> bool:
        """Whether it contains a model, such as the refit after the fold models were removed."""
        return any(kind_of(entry.path) == MODELS and not entry.is_folder for entry in self.entries)

    @cached_property
    def strange(self) -> list[Path]:
        """Files in it that harness did not write."""
        return strange_files(list(self.entries))


def stored_runs(runs: Path) -> list[StoredRun]:
    """Returns all runs, tests and studies in `runs`, the latest first. Trials are part of their study."""
    runs_there: list[StoredRun] = []
    folders = latest_runs(runs, lambda path, _why: runs_there.append(stored(path, None)))
    runs_there += [stored(folder.path, folder) for folder in folders]
    runs_there += [stored(study.path, study) for study in latest_studies(runs)]
    return sorted(runs_there, key=lambda each: each.began, reverse=True)


def stored(path: Path, folder: RunFolder | StudyFolder | None) -> StoredRun:
    """Reads the contents of one folder."""
    trials = tuple(folder.trials()) if isinstance(folder, StudyFolder) else ()
    return StoredRun(path, folder, tuple(entries_below(path)), trials)


def find_stored(named: str, runs: Path, known: Iterable[StoredRun]) -> StoredRun:
    """The run, test or study that `named` means: a folder, an id, the end of an id, or the name of a study.

    Raises UsageError if there is none, or if it is a trial, which is part of its study.
    """
    path = Path(named)
    studies = [each for each in known if each.kind == STUDY]
    same = [each for each in known if path.is_dir() and path.resolve() == each.path.resolve()]
    same = same or [each for each in studies if named in (each.path.name, each.path.name.removeprefix("study-"))]
    if len(same) == 1:
        return same[0]
    if same:
        what = ", ".join(each.path.as_posix() for each in same)
        raise UsageError(
            f"{len(same)} studies are called {named}",
            f"they are {what}",
            f"name the folder of one: {same[0].path.as_posix()}",
        )
    folder = find_run(named, runs)
    if folder.record.study is not None:
        study = folder.path.parent
        why = "the results of the study include this trial"
        raise UsageError(f"{folder.path} is a trial of a study", why, f"harness runs remove {study}, the whole study")
    return next((each for each in known if each.path.resolve() == folder.path.resolve()), stored(folder.path, folder))


def room_of_all(found: Iterable[StoredRun]) -> int:
    """Their total disk use, in bytes."""
    return room_of(entry for each in found for entry in each.entries)
