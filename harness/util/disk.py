"""Room on the disk: what files really take. A file that has several names, hard links, takes it once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512  # bytes; what `st_blocks` counts, on every system that has it


@dataclass(frozen=True)
class Entry:
    """A file, a link or a folder on the disk.

    Attributes:
        path: Relative to the folder that was read.
        bytes: What it takes on the disk; of a link, the link alone.
        key: Two names of one file have the same key.
        names: Number of names that the file has, here and elsewhere.
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
    """Yields `folder` itself, as ".", and all that lies in it, to any depth. No link is followed.

    What cannot be read, or was removed a moment ago, is left out.
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
    """Returns the bytes that they take together, as `du` counts them."""
    return sum({entry.key: entry.bytes for entry in entries}.values())


def room_freed(entries: Iterable[Entry]) -> int:
    """Returns the bytes that are free once all of them are removed: a file with another name elsewhere frees none."""
    named: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        named.setdefault(entry.key, []).append(entry)
    return sum(same[0].bytes for same in named.values() if same[0].is_folder or len(same) >= same[0].names)


def bytes_text(count: float) -> str:
    """Bytes for people: "45 MB", "1.2 GB"."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _entry(folder: Path, path: Path) -> Entry:
    found = os.lstat(folder / path)
    blocks = getattr(found, "st_blocks", None)  # Windows has none
    return Entry(
        path=path,
        bytes=found.st_size if blocks is None else BLOCK * blocks,
        key=(found.st_dev, found.st_ino) if found.st_ino else (str(folder), str(path)),
        names=found.st_nlink,
        is_folder=stat.S_ISDIR(found.st_mode),
        is_link=stat.S_ISLNK(found.st_mode),
    )
