"""A list in `.harness/` of the runs and experiment files that were made in this project.

A run folder contains a copy of the experiment file, and this code can do anything when it runs. The folder may come
from elsewhere, so no file in it can prove that it was made here. The list proves it: each line has a mark that only
this user on this machine can make, with a key outside of the project. Lines from elsewhere have no valid mark.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from harness.util.files import append_lines
from harness.util.locks import locked

FOLDER = Path(".harness")
RUNS = FOLDER / "runs.jsonl"  # a line for each run, and one more for its experiment's file
KEY_BYTES = 32


def remember_run(run_id: str, data: str | None) -> None:
    """Records that a run was made here, on the images in the folder `data`.

    If the list or the key cannot be written, nothing is recorded, and the run counts as one from elsewhere.
    """
    _add({"run": run_id, "data": data})


def remember_code(run_id: str, code: bytes) -> None:
    """Records the content of the experiment file of a run that was made here."""
    _add({"run": run_id, "experiment": _digest(code)})


def made_run(run_id: str, data: str | None) -> bool:
    """Returns whether a run was made here, on the images in the folder `data`."""
    return any(
        entry.get("run") == run_id and "data" in entry and entry["data"] == data for entry in marked_entries(RUNS)
    )


def made_code(run_id: str, code: bytes) -> bool:
    """Returns whether a run was made here, by an experiment file with exactly this content."""
    digest = _digest(code)
    return any(entry.get("run") == run_id and entry.get("experiment") == digest for entry in marked_entries(RUNS))


def make_folder(file: Path) -> None:
    """Makes `.harness/`, the folder of `file`. Raises OSError if one of them is a link, which could point anywhere."""
    folder = file.parent
    if folder.is_symlink() or file.is_symlink():
        raise OSError(f"{file} is a link")
    folder.mkdir(exist_ok=True)
    if not os.path.lexists(folder / ".gitignore"):
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # the list is only valid on this machine


def _add(entry: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        line = marked_line(entry)
        make_folder(RUNS)
        # On a disk without locks, one of two lines written at the same time may be lost. That is better than no lines.
        with locked(FOLDER / ".lock", wait=True, required=False):
            append_lines(RUNS, line)


def marked_line(entry: dict[str, Any]) -> str:
    """Returns a line for a list in `.harness/`, with this user's mark. Raises OSError if no key can be made."""
    return json.dumps({**entry, "mark": _mark(entry, _key(make=True))})


def marked_entries(file: Path) -> Iterator[dict[str, Any]]:
    """Yields the entries of a list in `.harness/` that have this user's mark. Yields none if it cannot be read."""
    try:
        key = _key(make=False)
        if FOLDER.is_symlink() or not file.is_file():
            return
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(
            ValueError, RecursionError, TypeError, AttributeError, KeyError
        ):  # an incomplete line, or one from elsewhere
            entry = json.loads(line)
            if hmac.compare_digest(entry.pop("mark"), _mark(entry, key)):
                yield entry


def _key(make: bool) -> bytes:
    """This user's key. Raises OSError if there is none and none can be made."""
    try:
        path = Path(os.environ.get("HARNESS_STATE") or platformdirs.user_state_path("harness")) / "key"
    except RuntimeError as error:
        raise OSError("this user has no home") from error
    if path.parts[0] == "~":  # older versions of platformdirs
        raise OSError("this user has no home")
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(
            path.with_name(".key.lock"), wait=True, required=False
        ):  # so that two first runs do not make two keys
            if not path.exists():
                _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError("the key is incomplete")
    return key


def _make_key(path: Path) -> None:
    """Writes a new key that only this user can read. It is atomic, so that no process reads an incomplete key."""
    file, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(secrets.token_bytes(KEY_BYTES))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mark(entry: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, json.dumps(entry, sort_keys=True).encode(), "sha256").hexdigest()


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()
