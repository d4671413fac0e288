"""Which exported programs were made in this project: loading one from elsewhere could run code.

`torch.export.load` unpickles what an archive asks it to, and evaluates the expressions of its shapes.
"""

from __future__ import annotations

import contextlib

from harness.runs import trust
from harness.util.files import append_lines
from harness.util.locks import locked

FILE = trust.FOLDER / "exports.jsonl"  # a line for each exported file, with this user's mark


def remember_export(sha256: str) -> None:
    """Notes that a file with this SHA-256 was made here. Where that cannot be written, it counts as a stranger's."""
    with contextlib.suppress(OSError):
        line = trust.marked_line({"export": sha256})
        trust.make_folder(FILE)
        with locked(trust.FOLDER / ".lock", wait=True, required=False):
            append_lines(FILE, line)


def made_export(sha256: str) -> bool:
    """Whether a file with this SHA-256 was made in this project, by this user."""
    return any(entry.get("export") == sha256 for entry in trust.marked_entries(FILE))
