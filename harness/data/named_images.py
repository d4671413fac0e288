"""Finds the images to predict, given as files, folders or patterns. They have no class."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from harness.data.foreign import is_foreign, is_hidden
from harness.data.formats import is_image_name
from harness.util.files import is_folder


class NamedImages:
    """An iterable of the image files that some paths stand for. Files are found lazily, so a million need no memory.

    A folder stands for the images in it, at any depth, sorted by name. Hidden folders and folders of other programs
    are left out; links are followed once. A pattern such as `photos/*.jpg` stands for its matches. Any other path
    stands for one file, which need not exist.

    Attributes:
        others: Number of files found so far that are in folders and are not images by their name.
    """

    def __init__(self, typed: Iterable[str], leave_out: Collection[Path] = ()) -> None:
        self.others = 0
        self._typed = typed
        self._left_out = {os.path.realpath(folder) for folder in leave_out}

    def __iter__(self) -> Iterator[Path]:
        self.others = 0
        for text in self._typed:
            path = Path(text)
            if is_folder(path):
                yield from self._within(path)
            elif glob.has_magic(text) and not os.path.lexists(path):
                yield from self._matching(text)
            else:
                yield path

    def count(self) -> int:
        """Number of files. Reads the folders, but opens no file."""
        return sum(1 for _ in self)

    def _within(self, root: Path) -> Iterator[Path]:
        seen: set[str] = set(self._left_out)
        closed: list[OSError] = []
        for folder, folders, files in os.walk(root, onerror=closed.append, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not is_hidden(name) and not is_foreign(Path(folder, name)))
            for name in sorted(files):
                if is_image_name(name):
                    yield Path(folder, name)
                else:
                    self.others += 1
        yield from (Path(str(error.filename)) for error in closed)  # reading them raises the error

    def _matching(self, pattern: str) -> Iterator[Path]:
        matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not matches:
            yield Path(pattern)  # does not exist; reading it raises the error
        for match in matches:
            if is_folder(match):
                if "**" not in pattern:
                    yield from self._within(Path(match))
            elif is_image_name(match):
                yield Path(match)
            else:
                self.others += 1
