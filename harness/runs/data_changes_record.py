"""The log of `harness data apply`, which `harness data undo` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from pydantic import Field

from harness.runs.record_parts import SCHEMA
from harness.util.schema import AnyPath, Count, FileDigest, Moment, PathBelowAnywhere


class ChangesStatus(str, Enum):
    """The state of the changes."""

    APPLYING = "applying"  # also after an interruption
    APPLIED = "applied"
    UNDONE = "undone"

    __str__ = str.__str__


@dataclass(frozen=True)
class Move:
    """A file that is moved. Paths are relative to the parent of the folder of changes.

    Attributes:
        source: The old path.
        target: The new path.
        md5: The MD5 of its content, or None if it cannot be read.
        link: The target of a symbolic link; None for a file.
        moved_link: The target that the link gets at its new path, so that it points to the same file.
    """

    source: PathBelowAnywhere
    target: PathBelowAnywhere
    md5: FileDigest | None = None
    link: AnyPath | None = None
    moved_link: AnyPath | None = None


@dataclass(frozen=True)
class TableChange:
    """A table that is rewritten: its MD5 before and after, and `copy`, a copy of the old table."""

    path: PathBelowAnywhere
    copy: PathBelowAnywhere
    before: FileDigest
    after: FileDigest


@dataclass(frozen=True)
class DataChangesRecord:
    """The log of one call. It is written before the first file is moved.

    Attributes:
        at: The time of the call.
        fixes: The table of fixes, as typed.
        status: The state of the changes.
        moves: The moves, in the order in which they are made.
        tables: Tables that are rewritten after the moves.
        folders: New folders for the moves, parents first.
    """

    at: Moment
    fixes: AnyPath
    status: Annotated[ChangesStatus, Field(strict=False)]
    moves: list[Move] = field(default_factory=list)
    tables: list[TableChange] = field(default_factory=list)
    folders: list[PathBelowAnywhere] = field(default_factory=list)
    schema: Count = SCHEMA
