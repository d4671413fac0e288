"""Measures the disk space of files. A file with several names (hard links) is counted once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512  # bytes; the unit of `st_blocks`, on every system that has it


@dataclass(frozen=True)
class Entry:
    """A file, a link or a folder on the disk.

    Attributes:
        path: Relative to the folder that was read.
        bytes: Its disk space; for a link, the space of the link.
        key: Two names of one file have the same key.
        names: Number of names of the file, in this folder and in others.
        is_folder: Whether it is a folder.
        is_link: Whether it is a symbolic link.
    """

    path: Path
    bytes: int
    key: tuple[object, ...]
    names: int
    is_folder: bool = False
    is_link: bool = False


def entries_below(folder: Path) -> Iterator[Entry]:
    """Yields `folder`, as ".", and all entries below it, at any depth. Links are not followed.

    Entries that cannot be read, or that were just removed, are left out.
    """
    left = [Path()]
    while left:
        path = left.pop()
        try:
            entry = _entry(folder, path)
        except OSError:
            continue
        yield entry
        if entry.is_folder:
            try:
                left += sorted((path / child.name for child in (folder / path).iterdir()), reverse=True)
            except OSError:
                continue


def room_of(entries: Iterable[Entry]) -> int:
    """Returns the total disk space of the entries in bytes, counted like `du`."""
    return sum({entry.key: entry.bytes for entry in entries}.values())


def room_freed(entries: Iterable[Entry]) -> int:
    """Returns the bytes that removing all entries frees. A file with another name elsewhere frees none."""
    named: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        named.setdefault(entry.key, []).append(entry)
    return sum(same[0].bytes for same in named.values() if same[0].is_folder or len(same) >= same[0].names)


def bytes_text(count: float) -> str:
    """Formats a number of bytes: "45 MB", "1.2 GB"."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _entry(folder: Path, path: Path) -> Entry:
    status = os.lstat(folder / path)
    blocks = getattr(status, "st_blocks", None)  # not on Windows
    return Entry(
        path=path,
        bytes=status.st_size if blocks is None else BLOCK * blocks,
        key=(status.st_dev, status.st_ino) if status.st_ino else (str(folder), str(path)),
        names=status.st_nlink,
        is_folder=stat.S_ISDIR(status.st_mode),
        is_link=stat.S_ISLNK(status.st_mode),
    )
