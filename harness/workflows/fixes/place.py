"""The folder of changes beside the data, with the log and the removed files of each call.

data/                             the data
data-changes/.gitignore           git ignores this folder
data-changes/.lock                locked by the process that changes the data
data-changes/<when>/log.json      all moves, written before the first one
data-changes/<when>/removed/      removed files, each at its path relative to the parent of `data`
data-changes/<when>/tables/       copies of tables before the change
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote

from harness.data.foreign import CHANGES, LOG
from harness.data.formats import is_image_name
from harness.data.table import is_table
from harness.errors import DataError, UsageError, storage_errors
from harness.runs.data_changes_record import ChangesStatus, DataChangesRecord
from harness.runs.record_file import read_record, to_json
from harness.util.files import write_whole
from harness.util.locks import lock_of
from harness.util.schema import SchemaError, is_inside
from harness.versioning.tracked import tracking_file

LOCK, IGNORE, REMOVED, TABLES = ".lock", ".gitignore", "removed", "tables"
NAME, NAMED = "%Y%m%d-%H%M%S", re.compile(r"\d{8}-\d{6}")
WRITABLE = "make it writable, because removed images are stored there"


@dataclass(frozen=True)
class Changes:
    """The changes of one call, and its folder in a folder of changes."""

    folder: Path
    record: DataChangesRecord

    @property
    def root(self) -> Path:
        """The folder that the paths of the record are relative to: the parent of the data."""
        return self.folder.parents[1]

    def file(self, path: str) -> Path:
        """The file of a path of the record. Raises DataError if a link in it points outside the data."""
        file, parts = self.root / path, Path(path).parts
        if len(parts) > 1 and not is_inside(file.parent / "-", self.root / parts[0]):
            raise DataError(
                f"{file} is not changed", "a link in its path points outside the data", f"ls -l {quote(str(file))}"
            )
        return file

    def path(self, file: Path) -> str:
        """The path in the record of a file below `root`."""
        return file.relative_to(self.root).as_posix()

    def marked(self, status: ChangesStatus) -> Changes:
        """Returns a copy with another status, and writes it to the log. Raises StorageError."""
        changes = replace(self, record=replace(self.record, status=status))
        write_whole(self.folder / LOG, to_json(changes.record), WRITABLE)
        return changes


def folder_beside(data: Path, folder: Path) -> Path:
    """The folder of changes for a folder or table of images; it need not exist.

    It is beside the folder that DVC tracks, if any. Otherwise it is beside `folder`, which contains all splits, if
    that is a folder below the current one, or else beside the data.
    """
    named, home = absolute(data), Path.cwd()
    above = absolute(folder)
    if named.is_relative_to(above) and above != home and above.is_relative_to(home):
        named = above
    tracked = tracking_file(named)
    place = named if tracked is None else tracked.with_suffix("")
    if not place.name:
        raise UsageError(f"{data} cannot be changed", "it is a whole disk", "move the images to a folder on that disk")
    return place.with_name(place.name + CHANGES)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Makes a folder of changes, and holds its lock. Raises UsageError if another process holds it."""
    if os.path.lexists(folder):
        ours = folder.is_dir() and not folder.is_symlink()
        if not ours or not all(is_ours(entry) for entry in folder.iterdir()):
            raise UsageError(
                f"{folder} is not used",
                "it exists, and is not a folder of changes",
                f"mv {quote(str(folder))} ANOTHER_NAME",
            )
    with storage_errors(folder, WRITABLE):
        folder.mkdir(exist_ok=True)
        if not (folder / IGNORE).exists():
            write_whole(folder / IGNORE, b"*\n", WRITABLE)
    with lock_of(folder / LOCK, fix=WRITABLE, required=False) as alone:
        if not alone:
            raise UsageError(
                f"the data beside {folder} are in use", "another process is changing them", "the same command later"
            )
        yield


def is_ours(entry: Path) -> bool:
    """Whether harness made this entry of a folder of changes."""
    return entry.name in (LOCK, IGNORE) or NAMED.fullmatch(entry.name) is not None or entry.name.startswith(".")


def begin(folder: Path) -> Path:
    """Makes the folder of a new call, whose name sorts after all others. Raises StorageError."""
    names = [entry.name for entry in folder.iterdir() if NAMED.fullmatch(entry.name)]
    now = datetime.now()
    with contextlib.suppress(ValueError):
        if names:
            now = max(now, datetime.strptime(max(names), NAME) + timedelta(seconds=1))
    made = folder / now.strftime(NAME)
    with storage_errors(made, WRITABLE):
        made.mkdir()
    return made


def read_changes(folder: Path) -> Changes:
    """Reads the log of one call. Raises DataError if it is damaged, or lists files that no call moves."""
    try:
        record = read_record(DataChangesRecord, folder / LOG)
        odd = [path for move in record.moves for path in (move.source, move.target) if not is_image_name(path)]
        odd += [path for table in record.tables for path in (table.path, table.copy) if not is_table(Path(path))]
        if odd:
            raise SchemaError(f"{odd[0][:80]!r} is neither an image nor a table")
    except (OSError, SchemaError) as error:
        fix = f"move the files back by hand; the removed ones are in {quote(str(folder / REMOVED))}"
        raise DataError(f"{folder / LOG} cannot be read", str(error), fix) from error
    return Changes(absolute(folder), record)


def calls_in(folder: Path) -> list[Path]:
    """The folders of calls in a folder of changes, the latest first."""
    calls = [path.parent for path in folder.glob(f"*/{LOG}") if NAMED.fullmatch(path.parent.name)]
    return sorted(calls, key=lambda path: path.name, reverse=True)


def absolute(path: Path) -> Path:
    """The absolute path without "..". Links are not resolved."""
    return Path(os.path.normpath(path.absolute()))
