"""Applies a table of fixes. Files are moved, never deleted, and a log lists each move before it is made."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shlex import quote

from harness.errors import DataError, HarnessError, storage_errors
from harness.runs.data_changes_record import ChangesStatus, DataChangesRecord, Move, TableChange
from harness.util.files import file_md5, md5_of, write_whole
from harness.util.text import few
from harness.workflows.fixes.keep_version import Kept, keep_versions, notes_before
from harness.workflows.fixes.links import link_text, text_elsewhere
from harness.workflows.fixes.moves import move_new
from harness.workflows.fixes.place import REMOVED, TABLES, WRITABLE, Changes, begin, only_one
from harness.workflows.fixes.plan import Part, Plan, plan_fixes
from harness.workflows.fixes.revert import revert
from harness.workflows.fixes.sources import notes_after

MOVABLE = "make it writable, then apply the same table again"


@dataclass(frozen=True)
class Applied:
    """The applied changes, or those that a dry run would apply.

    Attributes:
        plan: The planned changes.
        changes: One entry for each folder of changes; empty after a dry run, or if nothing changes.
        kept: The new versions in DVC, if it tracks the data.
        notes: Warnings, one line each.
    """

    plan: Plan
    changes: list[Changes] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def apply_fixes(path: Path | str, dry_run: bool = False) -> Applied:
    """Applies a table of fixes that `write_fixes` wrote and a person edited.

    An image with a new class is moved to the folder of that class, or its label in the table of images is rewritten.
    A removed image is moved to a folder of changes beside the data, or its line is removed from the table. If
    anything fails, all changes are undone. `undo_changes` undoes them later.

    Args:
        path: The table.
        dry_run: Whether to change nothing.

    Raises:
        UsageError: There is no such table, or another process is changing the data.
        DataError: A row cannot be applied, or a class would lose all its training images: nothing was changed. Or the
            changes failed and could not be undone: the error lists the moved files.
        StorageError: A file cannot be moved. All changes were undone.
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
        except BaseException as error:
            _take_back(done, error)
            raise
        return Applied(plan, applied, list(keep_versions(notes)), [*plan.notes, *after])


def _take_back(done: Sequence[Changes], error: BaseException) -> None:
    """Moves files back after an error. Raises DataError if that fails, with the moved files and what to type."""
    problems: list[tuple[Changes, str]] = []
    for changes in reversed(done):
        try:
            revert(changes)
        except HarnessError as second:
            problems.append((changes, f"{second.what}: {second.why}"))
        except OSError as second:
            problems.append((changes, str(second)))
    if not problems:
        return
    moves = [(changes, move) for changes, _ in problems for move in changes.record.moves]
    moved = [move for changes, move in moves if os.path.lexists(changes.root / move.target)]
    what = {0: "no image is", 1: "1 image is"}.get(len(moved), f"{len(moved)} images are")
    first = (
        f"{error.what}: {error.why}" if isinstance(error, HarnessError) else str(error) or "the command was interrupted"
    )
    where = f" ({few([f'{move.source} -> {move.target}' for move in moved], 3)})" if moved else ""
    commands = "; ".join(f"harness data undo {quote(os.path.relpath(changes.folder))}" for changes, _ in problems)
    raise DataError(
        f"the changes were interrupted, and could not be undone: {what} moved{where}",
        f"{first}; then, {'; '.join(text for _, text in problems)}",
        f"correct the cause, then {commands}",
    ) from error


def _carry_out(part: Part, plan: Plan, begun: Callable[[Changes], object]) -> None:
    """Makes the changes of one place. Calls `begun` after the log is written, before anything is moved."""
    folder = begin(part.folder)
    try:
        changes = _logged(folder, part, plan)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # nothing was moved: it contains only copies of tables
        raise
    begun(changes)
    for path in changes.record.folders:
        with storage_errors(changes.root / path, MOVABLE):
            (changes.root / path).mkdir(exist_ok=True)
    for move in changes.record.moves:
        source, target = changes.file(move.source), changes.file(move.target)
        with storage_errors(source, MOVABLE):
            move_new(source, target, None if move.link == move.moved_link else move.moved_link)
    for table, content in part.tables.items():
        write_whole(table, content, MOVABLE)


def _logged(folder: Path, part: Part, plan: Plan) -> Changes:
    """Copies the tables that will be rewritten, and writes the log of all planned changes."""
    changes = Changes(folder, DataChangesRecord("", "", ChangesStatus.APPLYING))
    moves = []
    for one in part.moved:
        target = one.target
        if target is None:
            target = folder / REMOVED / one.source.relative_to(changes.root)
        link = link_text(one.source)
        moved_link = None if link is None else text_elsewhere(link, one.source, target)
        md5 = one.fix.row.md5 or None
        moves.append(Move(changes.path(one.source), changes.path(target), md5, link, moved_link))
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
    """The missing folders that the moves need, each before its subfolders."""
    missing: dict[Path, None] = {}
    for folder in dict.fromkeys((changes.root / move.target).parent for move in moves):
        above = [folder, *folder.parents]
        missing |= dict.fromkeys(reversed([each for each in above if not os.path.lexists(each)]))
    return [changes.path(folder) for folder in sorted(missing, key=lambda folder: len(folder.parts))]
