"""A list of the programs that were exported in this project. Loading a program from elsewhere could run code.

`torch.export.load` unpickles objects that the archive names, and evaluates the expressions of its shapes.
"""

from __future__ import annotations

import contextlib

from harness.runs import trust
from harness.util.files import append_lines
from harness.util.locks import locked

FILE = trust.FOLDER / "exports.jsonl"  # a line for each exported file, with this user's mark


def remember_export(sha256: str) -> None:
    """Adds the SHA-256 of an exported file to the list. If the list cannot be written, the file counts as foreign."""
    with contextlib.suppress(OSError):
        line = trust.marked_line({"export": sha256})
        trust.make_folder(FILE)
        with locked(trust.FOLDER / ".lock", wait=True, required=False):
            append_lines(FILE, line)


def made_export(sha256: str) -> bool:
    """Returns whether this user exported a file with this SHA-256 in this project."""
    return any(entry.get("export") == sha256 for entry in trust.marked_entries(FILE))
