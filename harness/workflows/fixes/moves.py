"""Moves files, and never replaces one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import unicodedata
from pathlib import Path

from harness.util.files import fitting_name


class FreeNames:
    """Finds free names for moved files, and gives out each name only once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def near(self, path: Path) -> Path:
        """`path`, or the same with a number: `photo-2.jpg`."""
        free, number = path, 1
        while os.path.lexists(free) or _as_a_disk_sees(free) in self._given:
            number += 1
            free = path.with_name(fitting_name(path.stem, f"-{number}{path.suffix}"))
        self._given.add(_as_a_disk_sees(free))
        return free


def _as_a_disk_sees(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def move_new(source: Path, target: Path, link: str | None = None) -> None:
    """Moves a file or a link to a free name, also on another disk. If interrupted, the file is at one or both names.

    `link` is the new target text of a symbolic link; None if the text stays, or for a file.

    Raises FileExistsError if the name is taken, and OSError if the system refuses. Then nothing is moved.
    """
    if link is not None:
        target.symlink_to(link)  # raises if the name is taken
    elif _moved_at_once(source, target):
        return
    try:
        source.unlink()
    except OSError:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def _moved_at_once(source: Path, target: Path) -> bool:
    """Adds the new name to a file. Returns True if the old name is already removed."""
    try:
        os.link(source, target, follow_symlinks=False)  # unlike rename, it never replaces a file
    except (FileExistsError, FileNotFoundError):
        raise
    except (OSError, NotImplementedError) as error:  # another disk, or one without hard links, such as a USB stick
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        if _renamed(source, target):
            return True
        _copy_new(source, target)
    return False


def _renamed(source: Path, target: Path) -> bool:
    """Renames a file. Returns False if the two names are on different disks."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy_new(source: Path, target: Path) -> None:
    """Copies a file or a link to another disk, completely or not at all."""
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        shutil.copyfile(source, part, follow_symlinks=False)
        if not part.is_symlink():
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # a disk that stores no permissions
            shutil.copystat(source, part, follow_symlinks=False)
        move_new(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
