"""Puts back what one call has moved, wherever it was cut off."""

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

BACK = "make it writable, then harness data undo again: it goes on from there"


@dataclass(frozen=True)
class Reverted:
    """What was put back, or would be.

    Attributes:
        changes: The call.
        moves: Files that went back to their `source`.
        tables: Tables that were restored.
        gone: Files that are at neither place, as somebody has deleted or moved them since.
    """

    changes: Changes
    moves: list[Move]
    tables: list[TableChange]
    gone: list[str]


def revert(changes: Changes, dry_run: bool = False) -> Reverted:
    """Moves each file back, and restores each table.

    A file that is back already, or was never moved, stays. Nothing is deleted or replaced.

    Raises:
        DataError: A place is taken by something else, or a file or a table was changed since. Nothing is moved.
        StorageError: A file cannot be moved. The next call goes on from there.
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
                conflicts.append(f"{target} was changed since")
        elif _is_at(source, move.md5, move.link):
            doubled.append(move)
        else:
            conflicts.append(f"{source} is another file now")
    tables = [table for table in changes.record.tables if not _is(changes.file(table.path), table.before)]
    for table in tables:
        if not _is(changes.file(table.path), table.after):
            conflicts.append(f"{changes.file(table.path)} was changed since")
        elif not _is(changes.file(table.copy), table.before):
            conflicts.append(f"{changes.file(table.copy)}, its copy, was changed or is gone")
    if conflicts:
        raise DataError(
            f"the changes in {changes.folder} cannot be undone, and nothing was moved",
            few(conflicts, 10),
            f"move these away, then harness data undo {quote(os.path.relpath(changes.folder))}",
        )
    if not dry_run:
        for move in reversed([*back, *doubled]):
            with storage_errors(changes.file(move.source), BACK):
                _put_back(changes, move)
        for table in tables:
            write_whole(changes.file(table.path), changes.file(table.copy).read_bytes(), BACK)
        for folder in reversed(changes.record.folders):
            with contextlib.suppress(OSError):  # it is not empty: something has come into it
                changes.file(folder).rmdir()
        changes.marked(ChangesStatus.UNDONE)
    return Reverted(changes, back, tables, gone)


def _put_back(changes: Changes, move: Move) -> None:
    source, target = changes.file(move.source), changes.file(move.target)
    if not os.path.lexists(source):
        source.parent.mkdir(parents=True, exist_ok=True)
        move_new(target, source, None if move.link == move.moved_link else move.link)
    elif _is_same(source, target):
        target.unlink()  # the second name of a file whose move was cut off
    elif not target.is_relative_to(changes.folder):  # a copy, as on another disk
        aside = changes.folder / REMOVED / target.relative_to(changes.root)
        if not os.path.lexists(aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            move_new(target, aside)


def _is_same(source: Path, target: Path) -> bool:
    """Whether both are names of one file."""
    one, other = source.lstat(), target.lstat()
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _is_at(file: Path, md5: str | None, link: str | None) -> bool:
    """Whether a file has that MD5; a link, whether it says that: what it leads to may be gone."""
    return _is(file, md5) if link is None else link_text(file) == link


def _is(file: Path, md5: str | None) -> bool:
    """Whether a file has that MD5; True of any file if that is not known."""
    try:
        return md5 is None or file_md5(file) == md5
    except OSError:
        return False
