"""Waits for a lock on an SQLite file that another process holds. SQLite itself gives up after a few seconds."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from harness.util.console import print_line

TRY_SECONDS = 0.5  # SQLite waits this long in one attempt, during which Ctrl-C has no effect
QUIET_SECONDS = 3.0  # before a line is printed
LONGEST_SECONDS = 60.0
PAUSE_SECONDS = 0.05  # between attempts, if SQLite does not wait itself

T = TypeVar("T")


def connect_args() -> dict[str, Any]:
    """Arguments of `sqlite3.connect` for connections that wait for a lock."""
    return {"factory": WaitingConnection, "timeout": TRY_SECONDS}


def is_locked(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, is SQLite's error that another process holds a lock."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return True
        error = error.__cause__
    return False


def waited(action: Callable[[], T]) -> T:
    """Calls `action` again until no lock stops it, for a minute at most. Prints a line if that takes long."""
    began, is_printed = time.monotonic(), False
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            seconds = time.monotonic() - began
            if not is_locked(error) or seconds > LONGEST_SECONDS:
                raise
        if seconds > QUIET_SECONDS and not is_printed:
            print_line("waiting: another process has locked the study's SQLite file")
            is_printed = True
        time.sleep(PAUSE_SECONDS)


class WaitingCursor(sqlite3.Cursor):
    """A cursor that waits for locks."""

    def execute(self, *arguments: Any) -> WaitingCursor:
        waited(lambda: super(WaitingCursor, self).execute(*arguments))
        return self

    def executemany(self, *arguments: Any) -> WaitingCursor:
        waited(lambda: super(WaitingCursor, self).executemany(*arguments))
        return self


class WaitingConnection(sqlite3.Connection):
    """A connection that waits for locks."""

    def cursor(self, *_: Any) -> WaitingCursor:  # type: ignore[override]  # narrower than sqlite3's own factory
        return super().cursor(WaitingCursor)

    def commit(self) -> None:
        waited(super().commit)
