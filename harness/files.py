"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
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
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
