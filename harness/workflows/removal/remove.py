"""Removes runs, tests and studies: their folders, and their entries in MLflow."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError, StorageError, UsageError
from harness.runs.contents import MODELS, is_own, kind_of
from harness.runs.find import latest_runs
from harness.runs.pending_removals import PendingRemoval, add_removals, model_removals_of, removals_of, was_sent
from harness.runs.record_parts import Status
from harness.runs.removal import delete, take_away, taken_away
from harness.runs.run_folder import RunFolder, now
from harness.runs.study_folder import StudyFolder
from harness.runs.unfinished import UNFINISHED
from harness.util.disk import Entry, entries_below, room_freed
from harness.util.locks import lock_of
from harness.workflows.removal.protected import Protection, no_promotion, without_needed
from harness.workflows.removal.prune import Conditions, to_prune, within_luck
from harness.workflows.removal.stored import STUDY, StoredRun, find_stored, stored_runs


@dataclass(frozen=True)
class Removal:
    """A planned removal.

    Attributes:
        going: The runs to remove.
        kept: Chosen runs that stay, with the reason.
        lucky: Those of `going` whose accuracy is within the 95 % interval of the best run.
        total: Number of all runs, tests and studies in the folder.
        models_only: Whether only models are removed, and the numbers stay.
    """

    going: tuple[StoredRun, ...]
    kept: dict[StoredRun, str]
    lucky: tuple[StoredRun, ...] = ()
    total: int = 0
    models_only: bool = False

    @property
    def bytes(self) -> int:
        """The disk space that is freed, in bytes, without MLflow."""
        return room_freed(entry for each in self.going for entry in each.entries if self._goes(entry))

    def _goes(self, entry: Entry) -> bool:
        if self.models_only:
            return _is_model(entry)
        return entry.is_folder or is_own(entry)


@dataclass
class Outcome:
    """The result of a removal.

    Attributes:
        removed: Removed folders.
        kept: Folders that stay, with the reason: they were used after the removal was planned.
        back: Files that no run wrote, which were moved back.
        problems: Files that could not be deleted, one line each.
        notes: Warnings, one line each.
        finished: Number of earlier removals that were interrupted and are now finished.
    """

    removed: list[Path] = field(default_factory=list)
    kept: dict[Path, str] = field(default_factory=dict)
    back: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    finished: int = 0

    def require_whole(self) -> None:
        """Raises StorageError if something could not be deleted."""
        if self.problems:
            what = f"{len(self.problems)} {'file' if len(self.problems) == 1 else 'files'} could not be deleted"
            raise StorageError(what, self.problems[0], "make it writable, then the same command again")


def plan_removal(named: Sequence[str], runs: Path, models_only: bool = False) -> Removal:
    """Plans the removal of the named runs. Raises UsageError if one does not exist, or must stay."""
    every = stored_runs(runs)
    chosen = list(dict.fromkeys(find_stored(name, runs, every) for name in named))
    going, kept = without_needed(chosen, every, Protection(runs))
    for item, reason in kept.items():
        raise UsageError(f"{item.path} is not removed", reason, "the same command without it")
    planned = Removal(tuple(going), {}, total=len(every))
    return _of_models(planned) if models_only else planned


def plan_pruning(conditions: Conditions, runs: Path, models_only: bool = False) -> Removal:
    """Plans the removal of all runs that meet `conditions`, except those that must stay."""
    every = stored_runs(runs)
    chosen = to_prune(every, conditions, time.time())
    going, kept = without_needed(chosen, every, Protection(runs))
    planned = Removal(tuple(going), kept, tuple(within_luck(going, every)), len(every))
    return _of_models(planned) if models_only else planned


def _of_models(removal: Removal) -> Removal:
    """Limits a removal to models: of runs that have models and are not interrupted."""
    having = [item for item in removal.going if any(map(_is_model, item.entries))]
    going = [item for item in having if item.kind == STUDY or item.status not in UNFINISHED]
    kept = {item: "harness resume needs its saved state" for item in having if item not in going}
    lucky = tuple(item for item in removal.lucky if item in going)
    kept |= {item: why for item, why in removal.kept.items() if any(map(_is_model, item.entries))}
    return Removal(tuple(going), kept, lucky, removal.total, models_only=True)


def remove(removal: Removal, runs: Path) -> Outcome:
    """Removes the planned runs, except those that started to run or became the champion meanwhile.

    Their entries in MLflow are added to the list of pending removals: see `trackers.mlflow.removal`.
    """
    outcome, staged = finish_removals(runs), []
    with lock_of(runs / ".removing", wait=True):
        twins = Counter(folder.id for folder in latest_runs(runs))
        with no_promotion(runs):
            protection = Protection(runs)
            for item in removal.going:
                reason = protection.reason(item)
                if reason:
                    outcome.kept[item.path] = reason
                    continue
                try:
                    staged += _remove_one(item, runs, twins, outcome, removal.models_only)
                except HarnessError as error:
                    outcome.problems.append(f"{error.what}: {error.why}")
        for folder in staged:
            _delete(folder, runs, outcome)
    return outcome


def finish_removals(runs: Path) -> Outcome:
    """Finishes interrupted removals."""
    outcome = Outcome()
    if not taken_away(runs):
        return outcome
    with lock_of(runs / ".removing", wait=True):
        there = {folder.id for folder in latest_runs(runs)}
        for staged in taken_away(runs):
            add_removals(each for each in _removals_of_staged(staged) if each.id not in there)
            _delete(staged, runs, outcome)
            outcome.finished += 1
    return outcome


def _remove_one(item: StoredRun, runs: Path, twins: Counter[str], outcome: Outcome, models_only: bool) -> list[Path]:
    """Moves one folder away, under its locks, or deletes its models. Returns the folders to delete."""
    folder = item.folder
    if folder is None or not (item.path / folder.FILE).exists():  # another process removed it
        return []
    with _alone_in(folder) as reason:
        if reason:
            outcome.kept[item.path] = reason
            return []
        pending = model_removals_of(folder) if models_only else removals_of(folder)
        if was_sent(folder) and not pending:
            outcome.notes.append(f"{item.path} stays in MLflow, because it was not made in this project")
        pending = [each for each in pending if twins[each.id] <= 1]  # if a folder has a copy, the run stays in MLflow
        if models_only:
            _remove_models(folder, outcome)
            staged = []
        else:
            staged = [take_away(runs / item.path.resolve().relative_to(runs.resolve()), runs)]
    add_removals(pending)
    outcome.removed.append(item.path)
    return staged


def _remove_models(folder: RunFolder | StudyFolder, outcome: Outcome) -> None:
    """Deletes the checkpoints of a run, or of a study's trials. First notes it in the record, if the disk has space."""
    for run in folder.trials() if isinstance(folder, StudyFolder) else [folder]:
        own = [entry for entry in entries_below(run.path) if _is_model(entry)]
        if not own or run.status in UNFINISHED:
            continue
        moment, is_recorded = now(), False
        with contextlib.suppress(StorageError):
            run.update(models_removed=moment)
            is_recorded = True
        for entry in own:
            try:
                (run.path / entry.path).unlink(missing_ok=True)
            except OSError as error:
                outcome.problems.append(f"{run.path / entry.path}: {error.strerror or error}")
        with contextlib.suppress(OSError):  # it contains a file that harness did not write
            run.checkpoints.rmdir()
        if not is_recorded:
            run.update(models_removed=moment)


def _is_model(entry: Entry) -> bool:
    return kind_of(entry.path) == MODELS and not entry.is_folder and is_own(entry)


def _removals_of_staged(staged: Path) -> list[PendingRemoval]:
    with contextlib.suppress(UsageError):
        folder = StudyFolder.open(staged) if (staged / StudyFolder.FILE).exists() else RunFolder.open(staged)
        return removals_of(folder) if folder.record.id is not None else []
    return []


def _delete(staged: Path, runs: Path, outcome: Outcome) -> None:
    outcome.back += delete(
        staged, runs, lambda path, error: outcome.problems.append(f"{path}: {error.strerror or error}")
    )


@contextlib.contextmanager
def _alone_in(folder: RunFolder | StudyFolder) -> Iterator[str]:
    """Locks a folder, so that no other process can resume, refit or send it.

    Yields why it must not be removed now; empty if nothing is against it.
    """
    parts: list[RunFolder | StudyFolder] = [folder, *(folder.trials() if isinstance(folder, StudyFolder) else ())]
    with contextlib.ExitStack() as stack:
        for part in parts:
            for name, what in {
                ".resuming": "resumes it now",
                ".sending": "sends it now",
                ".changing": "changes it now",
            }.items():
                if not stack.enter_context(lock_of(part.path / name)):
                    yield f"another process {what}"
                    return
            planned = _which(part)
            part.reload()
            if part.status is Status.RUNNING:
                yield "it is running"
                return
            if _which(part) != planned:
                yield "it was replaced or resumed at this moment"
                return
        yield ""


def _which(folder: RunFolder | StudyFolder) -> tuple[object, ...]:
    """Values that change if a run is replaced, as with --out, or resumed."""
    return folder.record.id, folder.record.started, folder.record.status
