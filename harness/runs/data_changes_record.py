"""What `harness data apply` has done to a data set, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from pydantic import Field

from harness.runs.record_parts import SCHEMA
from harness.util.schema import AnyPath, Count, FileDigest, Moment, PathBelowAnywhere


class ChangesStatus(str, Enum):
    """How far the changes are."""

    APPLYING = "applying"  # also where it was cut off
    APPLIED = "applied"
    UNDONE = "undone"

    __str__ = str.__str__


@dataclass(frozen=True)
class Move:
    """A file that goes from `source` to `target`: paths below the folder that holds the folder of changes.

    Attributes:
        source: Where it was.
        target: Where it goes.
        md5: Its MD5; None if it cannot be read.
        link: What it says, if it is a symbolic link.
        moved_link: What it says at `target`, so that it leads to the same file.
    """

    source: PathBelowAnywhere
    target: PathBelowAnywhere
    md5: FileDigest | None = None
    link: AnyPath | None = None
    moved_link: AnyPath | None = None


@dataclass(frozen=True)
class TableChange:
    """A table that is rewritten: the MD5s of `path` before and after, and `copy`, which is as it was before."""

    path: PathBelowAnywhere
    copy: PathBelowAnywhere
    before: FileDigest
    after: FileDigest


@dataclass(frozen=True)
class DataChangesRecord:
    """The log of one call. It is written before the first file is moved.

    Attributes:
        at: When.
        fixes: The table of fixes, as it was named.
        status: How far it is.
        moves: In the order in which they are made.
        tables: Tables that are rewritten after that.
        folders: Folders that are made for the moves, each before those in it.
    """

    at: Moment
    fixes: AnyPath
    status: Annotated[ChangesStatus, Field(strict=False)]
    moves: list[Move] = field(default_factory=list)
    tables: list[TableChange] = field(default_factory=list)
    folders: list[PathBelowAnywhere] = field(default_factory=list)
    schema: Count = SCHEMA
