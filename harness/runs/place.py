"""Makes run folders, below the folder of all runs or at --out."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from harness.errors import UsageError, storage_errors
from harness.util.locks import lock_of
from harness.util.schema import is_inside

AGAIN = ".again"  # file in a folder of --out: the kind of run that may write to the folder again
BEGINNING = ".beginning"  # lock file for taking such a folder


def require_inside_runs(path: Path, runs: Path) -> None:
    """Raises UsageError if `path` is behind a link that points outside `runs`."""
    if not is_inside(path, runs):
        raise UsageError(
            f"{path.parent} is not used", f"it is a link that points outside {runs}", "--runs with another folder"
        )


def require_replaceable(path: Path, kind: str) -> None:
    """Raises UsageError if `path` has other files than those of an earlier run of this kind."""
    if not path.exists() or (path.is_dir() and {each.name for each in path.iterdir()} <= {BEGINNING}):
        return
    own = (path / AGAIN).is_file()  # it is empty if the process was killed while writing it
    marked = (path / AGAIN).read_text(encoding="utf-8", errors="replace").strip() if own else ""
    if not own or marked not in (kind, ""):
        why = f"it is the folder of a {marked}" if marked else "it contains other files, which would be lost"
        raise UsageError(f"{path} cannot be the folder of a {kind}", why, "--out with a new folder")


def new_id() -> str:
    """Returns the id of a run that starts now."""
    return f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_folder(runs: Path, name: str) -> tuple[str, Path]:
    """Makes the folder of a run that starts now. It is unique, even if many runs start in the same second.

    Returns:
        (id, path).

    Raises:
        UsageError: A link below `runs` points outside.
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
    """Makes a folder for this kind of run, or takes the folder of an earlier one. Within, the folder is locked.

    Raises UsageError if the folder has other files, and StorageError if it cannot be written.
    """
    require_replaceable(path, kind)
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    with lock_of(path / BEGINNING, wait=True, fix="--out with another folder", required=False):
        require_replaceable(path, kind)
        with storage_errors(path):  # written first, so that a later run can take the folder if this one is killed
            (path / AGAIN).write_text(f"{kind}\n", encoding="utf-8")
        yield
