"""Carries out a table of fixes: files are moved, never deleted, and each move is in a log before it is made."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from harness.errors import HarnessError, storage_errors
from harness.runs.data_changes_record import ChangesStatus, DataChangesRecord, Move, TableChange
from harness.util.files import file_md5, md5_of, write_whole
from harness.workflows.fixes.keep_version import Kept, keep_versions, notes_before
from harness.workflows.fixes.moves import move_new
from harness.workflows.fixes.place import REMOVED, TABLES, WRITABLE, Changes, begin, only_one
from harness.workflows.fixes.plan import Part, Plan, plan_fixes
from harness.workflows.fixes.revert import revert
from harness.workflows.fixes.sources import notes_after

MOVABLE = "make it writable, then apply the same table again"


@dataclass(frozen=True)
class Applied:
    """What was done, or with a dry run, would be.

    Attributes:
        plan: What the table says.
        changes: One folder of changes each; empty after a dry run, or if nothing is to be changed.
        kept: What DVC tracks of the data.
        notes: For people.
    """

    plan: Plan
    changes: list[Changes] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def apply_fixes(path: Path | str, dry_run: bool = False) -> Applied:
    """Applies a table of fixes that `write_fixes` wrote and a person edited.

    An image that gets another class is moved to the folder of that class, or its label in the table of images is
    rewritten. A removed one is moved to a folder of changes beside the data, or its line is taken out of the table. If
    anything fails, all is put back. `undo_changes` takes it back later.

    Args:
        path: The table.
        dry_run: Change nothing.

    Raises:
        UsageError: There is no such table, or the data are being changed by another process.
        DataError: A row cannot be applied, or a class would lose all its training images. Nothing was changed.
        StorageError: A file cannot be moved. All is as before.
    """
    plan = plan_fixes(path)
    if dry_run or not plan.changed:
        return Applied(plan, notes=plan.notes)
    done: list[Changes] = []
    with contextlib.ExitStack() as stack:
        for part in plan.parts:
            stack.enter_context(only_one(part.folder))
        notes = notes_before(plan.touched())
        try:
            for part in plan.parts:
                _carry_out(part, plan, done.append)
            after = notes_after(plan.fixes, plan.sources, plan.expected)
            applied = [changes.marked(ChangesStatus.APPLIED) for changes in done]
        except BaseException:
            for changes in reversed(done):
                with contextlib.suppress(HarnessError, OSError):  # the log is there: harness data undo
                    revert(changes)
            raise
        return Applied(plan, applied, list(keep_versions(notes)), [*plan.notes, *after])


def _carry_out(part: Part, plan: Plan, begun: Callable[[Changes], object]) -> None:
    """Makes the changes of one place. `begun` is called once the log is written, before anything is moved."""
    folder = begin(part.folder)
    try:
        changes = _logged(folder, part, plan)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # nothing was moved: it holds copies of tables
        raise
    begun(changes)
    for path in changes.record.folders:
        with storage_errors(changes.root / path, MOVABLE):
            (changes.root / path).mkdir(exist_ok=True)
    for move in changes.record.moves:
        source, target = changes.file(move.source), changes.file(move.target)
        with storage_errors(source, MOVABLE):
            move_new(source, target)
    for table, content in part.tables.items():
        write_whole(table, content, MOVABLE)


def _logged(folder: Path, part: Part, plan: Plan) -> Changes:
    """Copies the tables that will be rewritten, and writes the log of all that will be done."""
    changes = Changes(folder, DataChangesRecord("", "", ChangesStatus.APPLYING))
    moves = []
    for one in part.moved:
        target = one.target
        if target is None:
            target = folder / REMOVED / one.source.relative_to(changes.root)
        moves.append(Move(changes.path(one.source), changes.path(target), one.fix.row.md5 or None))
    tables = []
    for number, (table, content) in enumerate(part.tables.items()):
        copy = folder / TABLES / (table.name if not number else f"{number}-{table.name}")
        write_whole(copy, table.read_bytes(), WRITABLE)
        tables.append(TableChange(changes.path(table), changes.path(copy), file_md5(copy), md5_of(content)))
    record = DataChangesRecord(
        datetime.now().astimezone().isoformat(timespec="seconds"),
        str(plan.fixes.path),
        ChangesStatus.APPLYING,
        moves,
        tables,
        _new_folders(changes, moves),
    )
    return Changes(folder, record).marked(ChangesStatus.APPLYING)


def _new_folders(changes: Changes, moves: Sequence[Move]) -> list[str]:
    """The folders that the moves need and that are not there, each before those in it."""
    missing: dict[Path, None] = {}
    for folder in dict.fromkeys((changes.root / move.target).parent for move in moves):
        above = [folder, *folder.parents]
        missing |= dict.fromkeys(reversed([each for each in above if not os.path.lexists(each)]))
    return [changes.path(folder) for folder in sorted(missing, key=lambda folder: len(folder.parts))]
