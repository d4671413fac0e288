"""Removes the folder of a run: first it is moved where no command looks, and then it is deleted file by file.

    runs/.removed/<digits>/from      the old path of the folder, relative to `runs`
    runs/.removed/<digits>/folder    the folder

The next removal finishes an interrupted one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.errors import FULL, StorageError, storage_errors
from harness.runs.contents import strange_files
from harness.util.disk import entries_below
from harness.util.files import write_whole
from harness.util.schema import SchemaError, is_inside, path_below, read_text

REMOVED = ".removed"  # in the folder of all runs; commands do not look for runs so deep
FROM, FOLDER = "from", "folder"


def take_away(path: Path, runs: Path) -> Path:
    """Moves a folder below `runs` to where no command looks, in one step. Returns the new path.

    On a full disk, its models and plots are deleted first, because the new folder needs a free block. Raises
    StorageError if the folder cannot be moved.
    """
    try:
        return _take_away(path, runs)
    except StorageError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in FULL:
            raise
    for pattern in ("checkpoints/*.pt", "plots/*.png"):
        for large in [*path.glob(pattern), *path.glob(f"trial-*/{pattern}")]:
            if is_inside(large.parent / "-", path) and not large.is_symlink():
                large.unlink(missing_ok=True)
    return _take_away(path, runs)


def _take_away(path: Path, runs: Path) -> Path:
    place = runs / REMOVED / secrets.token_hex(4)
    try:
        write_whole(place / FROM, os.fsencode(path.relative_to(runs)))
        with storage_errors(path):
            path.rename(place / FOLDER)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place / FOLDER


def taken_away(runs: Path) -> list[Path]:
    """Returns the paths of folders that `take_away` has moved, or was about to move, and that must be deleted."""
    return [place / FOLDER for place in sorted((runs / REMOVED).glob("*")) if not place.is_symlink()]


def delete(staged: Path, runs: Path, problem: Callable[[Path, OSError], None]) -> list[Path]:
    """Deletes a folder that `take_away` has moved. Files that no run wrote are moved back.

    Args:
        staged: The folder, as returned by `take_away`.
        runs: The folder of all runs.
        problem: Called for each file that cannot be deleted or moved back. The removal then continues.

    Returns:
        The new paths of the files that were moved back.
    """
    home, back = _home(staged, runs), []
    entries = list(entries_below(staged))
    strange = set(strange_files(entries))
    for path in sorted(strange):
        target = _free(home / path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            (staged / path).rename(target)
            back.append(target)
        except OSError as error:
            problem(staged / path, error)
    for entry in sorted(entries, key=lambda entry: len(entry.path.parts), reverse=True):  # files before their folders
        if entry.path not in strange:
            try:
                _delete_one(staged / entry.path)
            except OSError as error:
                problem(staged / entry.path, error)
    if not os.path.lexists(staged):
        shutil.rmtree(staged.parent, ignore_errors=True)
        with contextlib.suppress(OSError):
            staged.parents[1].rmdir()  # if it is empty
    return back


def _delete_one(path: Path) -> None:
    """Deletes a file or an empty folder. A folder stays if a file in it could not be deleted."""
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _home(staged: Path, runs: Path) -> Path:
    """The old path of the folder, or a new name in `runs` if the old path cannot be read or points outside."""
    with contextlib.suppress(OSError, SchemaError, UnicodeDecodeError):
        home = runs / path_below(read_text(staged.parent / FROM))
        if is_inside(home, runs):
            return home
    return runs / f"left-{staged.parent.name}"


def _free(path: Path) -> Path:
    """The path, or a similar one if it exists."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
