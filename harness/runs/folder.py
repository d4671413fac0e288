"""`Folder`: the base class of run and study folders. It follows no link that points outside the folder."""

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
ALIVE = ".alive"  # a file that a running process touches regularly


class Folder(Generic[R]):
    """A folder with a record, plain files and `plots/`. Its content is not trusted: it may come from elsewhere."""

    FILE: ClassVar[str]  # name of the record's file
    FILES: ClassVar[tuple[str, ...]]  # names of files that may be sent to trackers

    def __init__(self, path: Path, record: R) -> None:
        self.path = path
        self.record = record

    @property
    def status(self) -> Status:
        """The status in the record, or DIED if the record says RUNNING and its process has ended.

        A process on another machine counts as ended if it has not touched the file `.alive` for too long.
        """
        if self.record.status is not Status.RUNNING:
            return self.record.status
        ended = has_ended(self.record.process)
        return Status.DIED if ended or (ended is None and self._is_silent()) else Status.RUNNING

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Within, the file `.alive` is touched every half minute, for machines that cannot see this process."""
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
        """Changes fields of the record, and writes its file atomically. Raises StorageError."""
        record = dataclasses.replace(self.record, **changes)
        content = to_json(record)
        self.record = record
        write_whole(self.path / self.FILE, content)

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Locks the folder while it is sent to MLflow. Yields False if another process has the lock.

        The lock ends with the process.
        """
        with lock_of(self.path / ".sending") as alone:
            yield alone

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Locks the record and reads it again, so that a change within keeps the changes of other processes."""
        with lock_of(self.path / ".changing", wait=True):
            self.reload()
            yield

    def reload(self) -> None:
        """Reads the record again, because another process may have changed it."""
        raise NotImplementedError

    @property
    def plots(self) -> Path:
        """The folder of its plots. Raises UsageError if this is a link that points outside."""
        return self.inside("plots")

    def pictures(self) -> list[Path]:
        """The paths of its plots, sorted, without links that point outside."""
        return [path for path in sorted(self.plots.glob("*.png")) if is_inside(path, self.path)]

    def files(self) -> list[Path]:
        """The paths of existing FILES, without links that point outside."""
        paths = (self.path / name for name in self.FILES)
        return [path for path in paths if path.is_file() and is_inside(path, self.path)]

    def inside(self, name: str | Path) -> Path:
        """Returns the path of a file or folder in it, which need not exist.

        Raises UsageError for a link that points outside.
        """
        path = self.path / name
        try:
            return require_inside(path, self.path)
        except SchemaError as error:
            link = next((part for part in reversed((path, *path.parents)) if part.is_symlink()), path)
            there, here = quote(os.path.realpath(link)), quote(str(link))
            fix = f"rm {here} && cp -r {there} {here}"
            raise UsageError(f"{path} is not used", str(error), fix) from error
