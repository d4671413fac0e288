"""Copies images to one folder per class. Overwrites no file, and writes none outside the folder."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from harness.errors import DataError, UsageError, storage_errors
from harness.util.files import file_md5, fitting_name
from harness.util.schema import is_inside

UNSURE = "unsure"
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')  # characters that Windows or all systems forbid in names
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows
LONGEST = 120  # bytes of a folder's name


class SortedImages:
    """Copies images below `folder`, each to the folder of its class.

    Attributes:
        copied: Number of files that were copied.
        already_there: Number of files that were already copied, with the same bytes.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder
        self.copied = self.already_there = 0
        self._names = _folder_names([*classes, UNSURE])
        self._unsure = self._names.pop()
        self._by_class = dict(zip(classes, self._names, strict=True))
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", "it is a file", "--sort FOLDER, with another folder")
        with storage_errors(folder, "--sort FOLDER, with a folder that you can write to"):
            folder.mkdir(parents=True, exist_ok=True)

    def copy(self, image: Path, label: str | None) -> Path:
        """Copies an image to the folder of its class, or to the folder `unsure` if `label` is None.

        The second of two images with the same name gets a number: `photo-2.jpg`. Returns the path of the copy.

        Raises:
            DataError: The image was removed after it was read.
            StorageError: It cannot be written. Earlier copies are complete.
            UsageError: The folder of the class is a link that points outside `folder`.
        """
        home = self.folder / (self._unsure if label is None else self._by_class[label])
        if not is_inside(home / "-", self.folder):
            raise UsageError(
                f"{home} is not used", "it is a link that points outside the folder", f"rm {quote(str(home))}"
            )
        if not image.is_file():
            raise DataError(
                f"{image} is missing",
                "it was removed after its prediction",
                "the same command again, without changing the images",
            )
        md5: str | None = None
        number = 1
        with storage_errors(home, "--sort FOLDER, with a folder that you can write to"):
            home.mkdir(exist_ok=True)
            while True:
                name = image.name if number == 1 else fitting_name(image.stem, f"-{number}{image.suffix}")
                place = home / name
                if os.path.lexists(place):
                    if place.is_file() and place.stat().st_size == image.stat().st_size:
                        md5 = md5 or file_md5(image)
                        is_same = file_md5(place) == md5
                    else:
                        is_same = False
                    if is_same:
                        self.already_there += 1
                        return place
                elif _copy_new(image, place):
                    self.copied += 1
                    return place
                number += 1


def _copy_new(image: Path, place: Path) -> bool:
    """Copies a file completely or not at all. Returns False if another process just made a file of that name."""
    part = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        shutil.copy2(image, part)
        try:
            os.link(part, place)  # unlike rename, it never replaces a file
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links, such as a USB stick
            if os.path.lexists(place):
                return False
            part.replace(place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def _folder_names(classes: Sequence[str]) -> list[str]:
    """A safe and unique folder name for each class, even on disks that ignore upper and lower case."""
    names: list[str] = []
    taken: set[str] = set()
    for name in classes:
        safe = fitting_name(UNSAFE.sub("_", name).strip(". "), most=LONGEST) or "_"
        safe = f"{safe}_" if RESERVED.fullmatch(safe) else safe
        candidate, number = safe, 2
        while _as_a_disk_sees(candidate) in taken:
            candidate, number = f"{safe}_{number}", number + 1
        taken.add(_as_a_disk_sees(candidate))
        names.append(candidate)
    return names


def _as_a_disk_sees(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
