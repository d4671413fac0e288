"""A list in `.harness/` of removed runs that are still in MLflow. Each is taken off once it is removed from MLflow.

Each line has this user's mark (see `trust`), because a list from elsewhere must not delete anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import StorageError
from harness.runs import trust
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.util.addresses import address_id
from harness.util.files import append_lines, write_whole
from harness.util.locks import locked
from harness.util.schema import RunId, SchemaError, Text, parse, schema_of

FILE = trust.FOLDER / "removed.jsonl"


@dataclass(frozen=True)
class PendingRemoval:
    """A removed run or study that an MLflow store may still have.

    Attributes:
        id: The id of the run or the study.
        kind: "run" or "study", or "models" if only its models were removed.
        store: The `address_id` of the store.
        given: The id of the MLflow run that the environment named for it. The user made this run, so it stays.
    """

    id: RunId
    kind: Text
    store: Text
    given: Text = ""


def was_sent(folder: RunFolder | StudyFolder) -> bool:
    """Returns whether an MLflow store may have the run, or the study and its trials."""
    return bool(_store(folder))


def removals_of(folder: RunFolder | StudyFolder) -> list[PendingRemoval]:
    """Returns the entries that MLflow may have for a folder: a run, or a study with its trials.

    There are none for a run that was not made in this project, because its folder could name any run.
    """
    if isinstance(folder, RunFolder):
        return _of_run(folder)
    study, store = folder.record, _store(folder)
    trials = [each for trial in folder.trials() for each in _of_run(trial, store)]
    if study.id is None or not store or not trials:
        return trials
    return [*trials, PendingRemoval(study.id, "study", store, study.store_ids.get("mlflow_run_id", ""))]


def model_removals_of(folder: RunFolder | StudyFolder) -> list[PendingRemoval]:
    """Returns the entries for the models that MLflow may have of a run, or of the trials of a study."""
    return [dataclasses.replace(each, kind="models") for each in removals_of(folder) if each.kind == "run"]


def add_removals(removals: Iterable[PendingRemoval]) -> None:
    """Adds entries to the list. Does nothing if the list cannot be written."""
    with contextlib.suppress(OSError):
        lines = [trust.marked_line(dataclasses.asdict(each)) for each in removals]
        if lines:
            trust.make_folder(FILE)
            with locked(trust.FOLDER / ".lock", wait=True, required=False):
                append_lines(FILE, *lines)


def has_pending() -> bool:
    """Returns whether the list has an entry for any store. It checks no marks, because it is called often."""
    return FILE.is_file() and not FILE.is_symlink()


def pending_removals(store: str) -> list[PendingRemoval]:
    """Returns the entries for the store at this address, each once."""
    return [each for each in dict.fromkeys(_read()) if each.store == address_id(store)]


def note_removed(done: Iterable[PendingRemoval]) -> None:
    """Takes entries that are removed from MLflow off the list. If it cannot be written, a later call does so."""
    gone = {*done}
    if not gone or not FILE.is_file():
        return
    with contextlib.suppress(OSError, StorageError), locked(trust.FOLDER / ".lock", wait=True, required=False):
        left = [trust.marked_line(dataclasses.asdict(each)) for each in dict.fromkeys(_read()) if each not in gone]
        if left:
            write_whole(FILE, "".join(f"{line}\n" for line in left).encode())
        elif not FILE.is_symlink():
            FILE.unlink()


def _read() -> list[PendingRemoval]:
    removals = []
    for entry in trust.marked_entries(FILE):
        with contextlib.suppress(SchemaError):
            removals.append(parse(schema_of(PendingRemoval), entry))
    return removals


def _of_run(folder: RunFolder, default: str = "") -> list[PendingRemoval]:
    store = _store(folder) or default
    if not store or not folder.was_made_here:
        return []
    return [PendingRemoval(folder.id, "run", store, folder.record.store_ids.get("mlflow_run_id", ""))]


def _store(folder: RunFolder | StudyFolder) -> str:
    """The id of the store that the folder was sent to, or "". Older records have the address of the store."""
    ids, stores = folder.record.store_ids, folder.record.stores
    return ids.get("mlflow") or (address_id(stores["mlflow"]) if "mlflow" in stores else "")
