"""Reads symbolic links among images, moves them, and finds the files that they point to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

MOST_HOPS = 40  # the limit of Linux


def link_text(path: Path) -> str | None:
    """The target text of a symbolic link, exactly as written; None if it is not a link."""
    try:
        return os.readlink(path)  # noqa: PTH115 - Path.readlink makes "a.jpg" of "./a.jpg"
    except (OSError, ValueError):
        return None


def text_elsewhere(text: str, source: Path, target: Path) -> str:
    """The text with which a link moved from `source` to `target` still points to the same file.

    An absolute text stays the same, such as a link into the DVC cache. A relative one starts at the real folder of the
    link. The file need not exist.
    """
    if Path(text).is_absolute():
        return text
    file = _place(source.parent, text)
    try:
        return os.path.relpath(file, os.path.realpath(target.parent))
    except ValueError:  # another drive of Windows
        return str(file)


def links_to(moved: Iterable[Path], images: Iterable[Path]) -> dict[Path, Path]:
    """Files of `moved` -> the first of `images` that links to it, directly or through other links."""
    real = cache(_real)
    moved_of = {_place(path.parent, path.name, real): path for path in moved}
    linked: dict[Path, Path] = {}
    for image in images:
        file = image
        for _ in range(MOST_HOPS):
            text = link_text(file)
            if text is None:
                break
            file = _place(file.parent, text, real)
            if file in moved_of:
                linked.setdefault(moved_of[file], image)
    return linked


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _place(folder: Path, text: str, real: Callable[[Path], Path] = _real) -> Path:
    """The path that `text` means in a folder. Links in the folder part are resolved, but not the file itself."""
    path = folder / text
    return real(path.parent) / path.name
