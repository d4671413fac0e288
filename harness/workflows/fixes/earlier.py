"""The changes of earlier calls, so that a person can apply the same table of fixes again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.data.images import composed
from harness.errors import DataError
from harness.runs.data_changes_record import ChangesStatus
from harness.util.files import file_md5
from harness.workflows.fixes.place import REMOVED, calls_in, read_changes
from harness.workflows.fixes.rows import REMOVE, FixRow


class Earlier:
    """The moves of all calls in folders of changes that are not undone."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._moved: dict[tuple[Path, str], tuple[Path, bool]] = {}  # (file, MD5) -> (new place, whether removed)
        for folder in folders:
            for call in reversed(calls_in(folder)):
                try:
                    changes = read_changes(call)
                except DataError:
                    continue  # harness data undo reports it
                if changes.record.status is ChangesStatus.UNDONE:
                    continue
                for move in changes.record.moves:
                    target = changes.root / move.target
                    key = composed_path(changes.root / move.source), move.md5 or ""
                    self._moved[key] = target, target.is_relative_to(changes.folder / REMOVED)

    def has_done(self, row: FixRow, file: Path, label: str | None, is_table: bool) -> bool:
        """Whether the change of a row was already made. `file` is the file of the row, which may no longer exist."""
        if is_table:  # removal deletes the line, and leaves the file in place
            return row.action == REMOVE and row.md5 != "" and _md5(file) == row.md5
        target, removed = self._moved.get((composed_path(file), row.md5), (None, False))
        if target is None:
            return False
        return removed if label is None else not removed and label in map(composed, target.parts)

    def where(self, row: FixRow, file: Path) -> Path | None:
        """Where an earlier call moved the file of a row; None if no call moved it."""
        return self._moved.get((composed_path(file), row.md5), (None, False))[0]


def composed_path(file: Path) -> Path:
    """A path in NFC."""
    return Path(composed(str(file)))


def _md5(file: Path) -> str | None:
    try:
        return file_md5(file)
    except OSError:
        return None
