"""Removes files of a cache, unless another process uses them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from harness.util.locks import locked, remove_lock

OURS = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{8})?\.(json|rows|lock|part)")  # other files in the folder are not ours
KEY_LENGTH = 32
OLD_SECONDS = 86400.0  # older unfinished files are removed


def files_by_key(folder: Path) -> dict[str, list[Path]]:
    """Returns the files of a cache, by the key of their entry."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if OURS.fullmatch(path.name) and path.is_file():
            files.setdefault(path.name[:KEY_LENGTH], []).append(path)
    return files


def left_unfinished(files: Sequence[Path]) -> list[Path]:
    """Returns an entry's files that no entry uses and that are older than a day. Raises OSError."""
    whole = any(path.suffix == ".json" for path in files)
    parts = [path for path in files if path.suffix == ".part" or (path.suffix == ".rows" and not whole)]
    return [path for path in parts if time.time() - path.stat().st_mtime > OLD_SECONDS]


def remove(files: Sequence[Path], lock: Path) -> bool:
    """Removes files of one entry, and its lock if the entry is gone. Raises OSError.

    Returns False if another process computes the entry, or if the system does not remove files in use, as on Windows.
    Then the entry stays complete.
    """
    with locked(lock, required=False) as alone:
        if not alone:
            return False
        for path in sorted(files, key=lambda path: path.suffix != ".rows"):  # first, because a process may read it
            try:
                if path != lock:
                    path.unlink(missing_ok=True)
            except PermissionError:
                if os.name != "nt":
                    raise
                return False
    if not lock.with_suffix(".json").exists():
        remove_lock(lock)
    return True
