"""Undoes the changes of `apply_fixes`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from harness.data.foreign import CHANGES
from harness.errors import UsageError
from harness.runs.data_changes_record import ChangesStatus
from harness.workflows.fixes.keep_version import Kept, keep_versions, notes_before
from harness.workflows.fixes.place import Changes, calls_in, only_one, read_changes
from harness.workflows.fixes.revert import Reverted, revert

NOTHING = "harness data undo, or the command that harness data apply printed"


@dataclass(frozen=True)
class Undone:
    """The undone changes, and the new versions in DVC."""

    reverted: Reverted
    kept: list[Kept] = field(default_factory=list)


def undo_changes(named: Path | str | None = None, dry_run: bool = False) -> Undone:
    """Undoes the latest call of `apply_fixes` that is not undone, even if it was interrupted.

    Args:
        named: A folder of changes, or the folder of one call in it. None looks in the current folder, in its
            subfolders, and beside it.
        dry_run: Whether to change nothing.

    Raises:
        UsageError: There is nothing to undo, or later changes have to be undone first.
        DataError: A log is damaged, or the files were changed after the call.
        StorageError: A file cannot be moved.
    """
    folder, call = _found(named)
    with only_one(folder):
        changes = _latest(calls_in(folder))
        if changes is None:
            raise _nothing(str(folder))
        if call is not None and changes.folder.name != call.name:
            if read_changes(call).record.status is ChangesStatus.UNDONE:
                raise UsageError(f"{call} is already undone", f"according to its log, {call / 'log.json'}", NOTHING)
            why = f"{changes.folder.name} is later, and may have moved the same files: undo it first"
            raise UsageError(
                f"{call} is not undone", why, f"harness data undo {quote(os.path.relpath(changes.folder))}"
            )
        if dry_run:
            return Undone(revert(changes, dry_run=True))
        paths = [changes.root / path for move in changes.record.moves for path in (move.source, move.target)]
        places = dict.fromkeys(path.parent for path in paths if not path.is_relative_to(folder.absolute()))
        notes = notes_before([*places, *(changes.root / table.path for table in changes.record.tables)])
        if changes.record.status is ChangesStatus.APPLYING:
            notes = dict.fromkeys(notes, "")  # the differences come from this interrupted call
        return Undone(revert(changes), list(keep_versions(notes)))


def _found(named: Path | str | None) -> tuple[Path, Path | None]:
    """Returns the folder of changes, and the folder of the named call. Raises UsageError if there is none."""
    if named is not None:
        folder = Path(named)
        if (folder / "log.json").is_file():
            return Path(os.path.normpath(folder.absolute())).parent, folder
        if not calls_in(folder):
            raise _nothing(str(folder))
        return folder, None
    here = Path.cwd()
    beside = here.with_name(f"{here.name}{CHANGES}")
    folders = [*Path().glob(f"*{CHANGES}"), *Path().glob(f"*/*{CHANGES}"), beside]
    open_calls = [changes for folder in folders if (changes := _latest(calls_in(folder))) is not None]
    if not open_calls:
        raise _nothing(f"{here}, in its subfolders, or beside it")
    latest = max(open_calls, key=lambda changes: changes.folder.name)
    return Path(os.path.relpath(latest.folder.parent)), None


def _latest(calls: Iterable[Path]) -> Changes | None:
    """The first of the calls that has not been undone."""
    return next(
        (changes for changes in map(read_changes, calls) if changes.record.status is not ChangesStatus.UNDONE), None
    )


def _nothing(where: str) -> UsageError:
    return UsageError(
        f"there is nothing to undo in {where}",
        f"no folder NAME{CHANGES} there has changes to undo",
        "harness data undo FOLDER, with the folder that harness data apply printed",
    )
