"""`Folder`: what the folders of runs and studies have in common. No link that leads out of one is followed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Generic, TypeVar

from harness.errors import UsageError
from harness.runs.record_file import to_json
from harness.runs.record_parts import Status
from harness.runs.records import Origin
from harness.util.files import write_whole
from harness.util.heartbeat import STALE_SECONDS, heartbeat
from harness.util.locks import lock_of
from harness.util.processes import has_ended
from harness.util.schema import SchemaError, is_inside, require_inside

R = TypeVar("R", bound=Origin)
ALIVE = ".alive"  # a file whose time is the last sign of life


class Folder(Generic[R]):
    """A folder with a record, plain files and `plots/`. It may come from anybody."""

    FILE: ClassVar[str]  # of the record
    FILES: ClassVar[tuple[str, ...]]  # that may be shown to others

    def __init__(self, path: Path, record: R) -> None:
        self.path = path
        self.record = record

    @property
    def status(self) -> Status:
        """The record's status; DIED if that is RUNNING and its process is gone.

        Of a process on another machine, that is so if it has given no sign of life for too long.
        """
        if self.record.status is not Status.RUNNING:
            return self.record.status
        ended = has_ended(self.record.process)
        return Status.DIED if ended or (ended is None and self._is_silent()) else Status.RUNNING

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Within, a file in the folder is touched every half minute, for machines that do not see this process."""
        sign = self.path / ALIVE

        def beat() -> None:
            with contextlib.suppress(OSError):
                sign.touch()

        beat()
        try:
            with heartbeat(beat):
                yield
        finally:
            with contextlib.suppress(OSError):
                sign.unlink(missing_ok=True)

    def _is_silent(self) -> bool:
        try:
            return time.time() - (self.path / ALIVE).stat().st_mtime > STALE_SECONDS
        except OSError:
            return False

    def update(self, **changes: Any) -> None:
        """Changes fields of the record, and writes its file in one step. Raises StorageError."""
        record = dataclasses.replace(self.record, **changes)
        content = to_json(record)
        self.record = record
        write_whole(self.path / self.FILE, content)

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Locks the folder for sending it to MLflow: True if no other process does. The lock ends with the process."""
        with lock_of(self.path / ".sending") as alone:
            yield alone

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Locks the record and reads it again, so that a change within does not undo another process's."""
        with lock_of(self.path / ".changing", wait=True):
            self.reload()
            yield

    def reload(self) -> None:
        """Reads the record again, which another process may have changed."""
        raise NotImplementedError

    @property
    def plots(self) -> Path:
        """The folder of its pictures. Raises UsageError if that is a link that leads elsewhere."""
        return self.inside("plots")

    def pictures(self) -> list[Path]:
        """Its plots, sorted; of links only those that stay in the folder."""
        return [path for path in sorted(self.plots.glob("*.png")) if is_inside(path, self.path)]

    def files(self) -> list[Path]:
        """Those of FILES that are there; of links only those that stay in the folder."""
        paths = (self.path / name for name in self.FILES)
        return [path for path in paths if path.is_file() and is_inside(path, self.path)]

    def inside(self, name: str | Path) -> Path:
        """The path of a file or folder in it, there or not. Raises UsageError for a link that leads elsewhere."""
        path = self.path / name
        try:
            return require_inside(path, self.path)
        except SchemaError as error:
            link = next((part for part in reversed((path, *path.parents)) if part.is_symlink()), path)
            there, here = quote(os.path.realpath(link)), quote(str(link))
            fix = f"rm {here}, the link alone, then cp -r {there} {here}"
            raise UsageError(f"{path} is not used", str(error), fix) from error
