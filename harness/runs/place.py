"""Where a run folder may be made: below the folder of all runs, or where --out says."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from harness.errors import UsageError, storage_errors
from harness.util.locks import lock_of
from harness.util.schema import is_inside

AGAIN = ".again"  # in a folder that was named by --out, and may be written again: by what
BEGINNING = ".beginning"  # the lock of those who take such a folder


def require_inside_runs(path: Path, runs: Path) -> None:
    """Raises UsageError if a link below `runs` leads out of it: what lies there was not made by a run."""
    if not is_inside(path, runs):
        raise UsageError(
            f"{path.parent} is not used", f"it is a link that leads out of {runs}", "--runs with another folder"
        )


def require_replaceable(path: Path, kind: str) -> None:
    """Raises UsageError if `path` holds anything but what this kind of run was told to put there before."""
    if not path.exists() or (path.is_dir() and {each.name for each in path.iterdir()} <= {BEGINNING}):
        return
    own = (path / AGAIN).is_file()  # empty, if the process was killed while it wrote
    marked = (path / AGAIN).read_text(encoding="utf-8", errors="replace").strip() if own else ""
    if not own or marked not in (kind, ""):
        why = f"it is where a {marked} goes" if marked else "it holds something else, which would be lost"
        raise UsageError(f"{path} is no place for a {kind}", why, "--out with a new folder")


def new_id() -> str:
    """The id of a run that begins now."""
    return f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_folder(runs: Path, name: str) -> tuple[str, Path]:
    """Makes the folder of a run that begins now; no other run has it, not even one of a hundred in one second.

    Returns:
        (id, path).

    Raises:
        UsageError: A link below `runs` leads out of it.
        StorageError: The folder cannot be made.
    """
    while True:
        own = new_id()
        path = runs / name / own
        require_inside_runs(path, runs)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return own, path


@contextlib.contextmanager
def replacing(path: Path, kind: str) -> Iterator[None]:
    """Makes a folder for this kind of run, or takes one that may be written again. Within, no other process does so.

    Raises UsageError if it holds something else, StorageError if it cannot be written.
    """
    require_replaceable(path, kind)
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    with lock_of(path / BEGINNING, wait=True, fix="--out with another folder", required=False):
        require_replaceable(path, kind)
        with storage_errors(path):  # first: a run that is killed from here on may be made again
            (path / AGAIN).write_text(f"{kind}\n", encoding="utf-8")
        yield
