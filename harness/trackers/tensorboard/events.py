"""Writes one event file, record by record and without a thread: a record is in the file when the call returns."""

from __future__ import annotations

import io
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from harness.util.files import add_whole


class Events:
    """A new event file. Raises OSError.

    Args:
        folder: Where it is made.
        again: Whether it replaces earlier files. Then a TensorBoard that has read those drops their content.
    """

    def __init__(self, folder: Path, again: bool = False) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{secrets.token_hex(4)}"
        self._event = Event
        self._file = (folder / name).open("xb", buffering=0)
        self._record_writer = RecordWriter
        try:
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
            if again:
                self._write(Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START)))
        except OSError:
            self.close()
            (folder / name).unlink(missing_ok=True)
            raise

    def add(self, summary: Any, step: int = 0, at: float | None = None) -> None:
        """Writes a summary at a step and a time in seconds since 1970, by default now."""
        self._write(self._event(wall_time=time.time() if at is None else at, step=step, summary=summary))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Any) -> None:
        record = io.BytesIO()
        self._record_writer(record).write(event.SerializeToString())
        add_whole(self._file, record.getvalue())  # TensorBoard does not read past half a record
