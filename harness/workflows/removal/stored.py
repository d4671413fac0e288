"""What lies in the folder of all runs: each run, test and study, with the room that it takes and what it is made of."""

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
    """A run, a test or a study on the disk; None as `folder` if its record cannot be read.

    Attributes:
        path: Of its folder.
        folder: Its folder, with the record.
        entries: All that lies in it.
        trials: Of a study: those on this machine.
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
        """The status; of a study, RUNNING also while one of its trials is."""
        if self.folder is None:
            return UNREADABLE
        return Status.RUNNING if any(trial.status is Status.RUNNING for trial in self.trials) else self.folder.status

    @property
    def ids(self) -> set[str]:
        """Its own id, and those of its trials."""
        ids = {self.path.name, *(trial.id for trial in self.trials)}
        if self.folder is not None and self.folder.record.id is not None:
            ids.add(self.folder.record.id)
        return ids

    @property
    def accuracy(self) -> float | None:
        """Of a study, that of its best trial."""
        if isinstance(self.folder, StudyFolder):
            result = self.folder.record.result
            return result.best.accuracy if result and result.best else None
        return self.folder.record.accuracy if self.folder is not None else None

    @property
    def began(self) -> float:
        """When it began, in seconds since 1970; of an unreadable one, when its folder last changed."""
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
        """Bytes of each of KINDS that it has."""
        parts = {kind: room_of(entry for entry in self.entries if kind_of(entry.path) == kind) for kind in KINDS}
        return {kind: count for kind, count in parts.items() if count}

    @cached_property
    def has_models(self) -> bool:
        """Whether a model of it is there, such as that of a refit after the others were removed."""
        return any(kind_of(entry.path) == MODELS and not entry.is_folder for entry in self.entries)

    @cached_property
    def strange(self) -> list[Path]:
        """Files in it that no run wrote."""
        return strange_files(list(self.entries))


def stored_runs(runs: Path) -> list[StoredRun]:
    """Returns each run, test and study in `runs`, the one that began last first. Trials belong to their study."""
    found: list[StoredRun] = []
    folders = latest_runs(runs, lambda path, _why: found.append(stored(path, None)))
    found += [stored(folder.path, folder) for folder in folders]
    found += [stored(study.path, study) for study in latest_studies(runs)]
    return sorted(found, key=lambda each: each.began, reverse=True)


def stored(path: Path, folder: RunFolder | StudyFolder | None) -> StoredRun:
    """Reads what lies in one folder."""
    trials = tuple(folder.trials()) if isinstance(folder, StudyFolder) else ()
    return StoredRun(path, folder, tuple(entries_below(path)), trials)


def find_stored(named: str, runs: Path, known: Iterable[StoredRun]) -> StoredRun:
    """The run, test or study that `named` means: a folder, an id, how one ends, or a study's name.

    Raises UsageError for none, and for a trial: it is a part of its study.
    """
    path = Path(named)
    studies = [each for each in known if each.kind == STUDY]
    same = [each for each in known if path.is_dir() and path.resolve() == each.path.resolve()]
    same = same or [each for each in studies if named in (each.path.name, each.path.name.removeprefix("study-"))]
    if len(same) == 1:
        return same[0]
    if same:
        what = ", ".join(each.path.as_posix() for each in same)
        raise UsageError(f"{named} is {len(same)} studies", what, f"the folder of one: {same[0].path.as_posix()}")
    folder = find_run(named, runs)
    if folder.record.study is not None:
        study = folder.path.parent
        why = "the study counts it, and its numbers would be missing there"
        raise UsageError(f"{folder.path} is a trial of a study", why, f"harness runs remove {study}, the whole study")
    return next((each for each in known if each.path.resolve() == folder.path.resolve()), stored(folder.path, folder))


def room_of_all(found: Iterable[StoredRun]) -> int:
    """The bytes that they take together."""
    return room_of(entry for each in found for entry in each.entries)
