"""Writes an exported file and its description completely, and replaces no file without `force`."""

from __future__ import annotations

import secrets
from pathlib import Path
from shlex import quote

from harness.errors import UsageError
from harness.models.export_record import SUFFIXES, json_beside
from harness.util.files import require_writable, write_whole


def free_path(name: str, to: str, out: Path | str | None, force: bool) -> Path:
    """The path to write. Raises UsageError if it exists or has no folder, StorageError if the folder is read-only."""
    path = Path(out) if out is not None else Path(name + SUFFIXES[to])
    wanted = SUFFIXES[to]
    if to != "state_dict" and path.suffix != wanted:
        raise UsageError(
            f"{path} does not end in {wanted}",
            "programs recognise the format by its ending",
            f"--out {path.stem}{wanted}",
        )
    if path.is_dir():
        raise UsageError(f"{path} cannot be written", "it is a folder", f"--out {path / name}{wanted}")
    for taken in (path, json_beside(path)):
        if taken.exists() and not taken.is_file():
            raise UsageError(f"{taken} cannot be written", "it is a folder, a pipe or a device", f"--out NAME{wanted}")
        if taken.exists() and not force:
            raise UsageError(
                f"{taken} already exists",
                "an export replaces a file only with --force",
                "--out FILE, with another file; or --force",
            )
    if not path.parent.is_dir():
        why, fix = "the file would be written in it", f"mkdir -p {quote(str(path.parent))}"
        raise UsageError(f"the folder {path.parent} does not exist", why, fix)
    require_writable(path.parent)
    return path


def write_both(path: Path, content: bytes, description: bytes) -> None:
    """Writes a file and its `.json`: both, or neither. Raises StorageError if the disk refuses."""
    beside = json_beside(path)
    waiting = beside.with_name(f".{beside.name}-{secrets.token_hex(4)}")
    write_whole(waiting, description)
    try:
        write_whole(path, content)
        waiting.replace(beside)
    finally:
        waiting.unlink(missing_ok=True)
