"""Moves the files of one call back, even if the call was interrupted."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.errors import DataError, storage_errors
from harness.runs.data_changes_record import ChangesStatus, Move, TableChange
from harness.util.files import file_md5, write_whole
from harness.util.text import few
from harness.workflows.fixes.links import link_text
from harness.workflows.fixes.moves import move_new
from harness.workflows.fixes.place import REMOVED, Changes

BACK = "make it writable, then harness data undo again, which continues from there"


@dataclass(frozen=True)
class Reverted:
    """The files that were moved back, or that a dry run would move back.

    Attributes:
        changes: The call.
        moves: Files that were moved back to their `source`.
        tables: Tables that were restored.
        gone: Files that are at neither place: they were deleted or moved after the call.
    """

    changes: Changes
    moves: list[Move]
    tables: list[TableChange]
    gone: list[str]


def revert(changes: Changes, dry_run: bool = False) -> Reverted:
    """Moves each file back, and restores each table.

    A file that is already back, or was never moved, stays. Nothing is deleted or replaced.

    Raises:
        DataError: Another file is in the way, or a file or table was changed after the call. Nothing is moved.
        StorageError: A file cannot be moved. The next call continues from there.
    """
    conflicts: list[str] = []
    back: list[Move] = []
    doubled: list[Move] = []
    gone: list[str] = []
    for move in changes.record.moves:
        source, target = changes.file(move.source), changes.file(move.target)
        if not os.path.lexists(target):
            if not os.path.lexists(source):
                gone.append(move.target)
        elif not os.path.lexists(source):
            if _is_at(target, move.md5, move.moved_link):
                back.append(move)
            else:
                conflicts.append(f"{target} has changed")
        elif _is_at(source, move.md5, move.link):
            doubled.append(move)
        else:
            conflicts.append(f"{source} is now a different file")
    tables = [table for table in changes.record.tables if not _is(changes.file(table.path), table.before)]
    for table in tables:
        if not _is(changes.file(table.path), table.after):
            conflicts.append(f"{changes.file(table.path)} has changed")
        elif not _is(changes.file(table.copy), table.before):
            conflicts.append(f"the saved copy {changes.file(table.copy)} has changed or is missing")
    if conflicts:
        raise DataError(
            f"the changes in {changes.folder} cannot be undone, and nothing was moved",
            few(conflicts, 10),
            f"move these files away, then harness data undo {quote(os.path.relpath(changes.folder))}",
        )
    if not dry_run:
        for move in reversed([*back, *doubled]):
            with storage_errors(changes.file(move.source), BACK):
                _put_back(changes, move)
        for table in tables:
            write_whole(changes.file(table.path), changes.file(table.copy).read_bytes(), BACK)
        for folder in reversed(changes.record.folders):
            with contextlib.suppress(OSError):  # it is not empty, because other files were added
                changes.file(folder).rmdir()
        changes.marked(ChangesStatus.UNDONE)
    return Reverted(changes, back, tables, gone)


def _put_back(changes: Changes, move: Move) -> None:
    source, target = changes.file(move.source), changes.file(move.target)
    if not os.path.lexists(source):
        source.parent.mkdir(parents=True, exist_ok=True)
        move_new(target, source, None if move.link == move.moved_link else move.link)
    elif _is_same(source, target):
        target.unlink()  # the second name of a file whose move was interrupted
    elif not target.is_relative_to(changes.folder):  # a complete copy, made on another disk
        aside = changes.folder / REMOVED / target.relative_to(changes.root)
        if not os.path.lexists(aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            move_new(target, aside)


def _is_same(source: Path, target: Path) -> bool:
    """Whether both are names of one file."""
    one, other = source.lstat(), target.lstat()
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _is_at(file: Path, md5: str | None, link: str | None) -> bool:
    """Whether a file has that MD5, or a link that text, because its target may be missing."""
    return _is(file, md5) if link is None else link_text(file) == link


def _is(file: Path, md5: str | None) -> bool:
    """Whether a file has that MD5; True if the MD5 is unknown."""
    try:
        return md5 is None or file_md5(file) == md5
    except OSError:
        return False
