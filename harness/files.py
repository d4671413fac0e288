"""Files that are whole or not there, and names of files as text."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from harness.errors import storing


def write_whole(path: Path, content: bytes) -> None:
    """Replaces the file at `path` by `content` in one step. Raises StorageError, and then leaves nothing behind."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def as_text(name: str) -> str:
    """A file's name in letters that every program takes: those of its bytes that are no UTF-8 become "?"."""
    return name.encode("utf-8", "replace").decode()


def _replace(temporary: Path, path: Path) -> None:
    """In one step; on Windows once nobody has the old file open, for which it waits a moment."""
    for wait in (0.01, 0.05, 0.2) if os.name == "nt" else ():
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    temporary.replace(path)
