"""Images that are symbolic links: what they say, and which files must stay so that they lead somewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

MOST_HOPS = 40  # as Linux follows


def link_text(path: Path) -> str | None:
    """Where a symbolic link leads, exactly as it is written in it; None of anything else."""
    try:
        return os.readlink(path)  # noqa: PTH115 - Path.readlink makes "a.jpg" of "./a.jpg"
    except (OSError, ValueError):
        return None


def text_elsewhere(text: str, source: Path, target: Path) -> str:
    """What a link at `source` that says `text` must say at `target` to lead to the same file.

    An absolute text stays, as those of DVC's cache. A relative one counts from the folder of the link, once the links
    to that folder are resolved. The file need not be there.
    """
    if Path(text).is_absolute():
        return text
    file = _place(source.parent, text)
    try:
        return os.path.relpath(file, os.path.realpath(target.parent))
    except ValueError:  # another drive of Windows
        return str(file)


def links_to(moved: Iterable[Path], images: Iterable[Path]) -> dict[Path, Path]:
    """Those of `moved` that one of `images` leads to by a link, also by way of others -> the first such image."""
    real = cache(_real)
    moved_of = {_place(path.parent, path.name, real): path for path in moved}
    found: dict[Path, Path] = {}
    for image in images:
        file = image
        for _ in range(MOST_HOPS):
            text = link_text(file)
            if text is None:
                break
            file = _place(file.parent, text, real)
            if file in moved_of:
                found.setdefault(moved_of[file], image)
    return found


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _place(folder: Path, text: str, real: Callable[[Path], Path] = _real) -> Path:
    """The path that `text` means in a folder; links to folders are resolved, and the file itself may be one."""
    path = folder / text
    return real(path.parent) / path.name
