"""One event file, written record by record: what was added is in it when the call returns, with no thread between."""

from __future__ import annotations

import io
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from harness.util.files import add_whole


class Events:
    """A new event file in `folder`. Raises OSError.

    With `again`, it replaces files of before: a TensorBoard that has read those forgets what they held.
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
        """A summary, at a step and at a moment in seconds since 1970, by default now."""
        self._write(self._event(wall_time=time.time() if at is None else at, step=step, summary=summary))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Any) -> None:
        record = io.BytesIO()
        self._record_writer(record).write(event.SerializeToString())
        add_whole(self._file, record.getvalue())  # half a record would hide all that comes after it
