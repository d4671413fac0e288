"""`console.log`: a copy of what a command or a call prints on stdout and stderr, in the folder of its run or study.

A command starts to copy before its folder exists; `keep_output_in` names the folder later. Each line is in the file as
soon as it is printed, so a crash loses none. The file holds what a terminal would show: a progress bar is one line with
its last text, and colours and other escape codes are left out. If the file cannot be written, the command prints one
warning and continues.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from harness.util.escape import terminal

FILE = "console.log"
WORKER = "HARNESS_WORKER"  # environment variable: the number of a worker of a search, from 1
WINDOW = 50  # last lines that progress bars may still change
PIECES = re.compile(
    r"(\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]|[\x00-\x08\x0a-\x1f\x7f-\x9f])"
)
MOVE = re.compile(r"\x1b\[(\d*)([ABJK])")
_active: list[ConsoleLog] = []  # of the commands and calls that run in this process, the innermost last


class Screen:
    """The last lines of a terminal: carriage returns and cursor movements change lines that are there already."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        for piece in PIECES.split(text):
            if piece == "\n":
                self._row, self._column = self._row + 1, 0
                if self._row == len(self.lines):
                    self.lines.append("")
            elif piece == "\r":
                self._column = 0
            elif piece == "\b":
                self._column = max(0, self._column - 1)
            elif (move := MOVE.fullmatch(piece)) is not None:
                self._move(int(move[1] or 0), move[2])
            elif piece and not PIECES.fullmatch(piece):
                line = self.lines[self._row].ljust(self._column)
                self.lines[self._row] = line[: self._column] + piece + line[self._column + len(piece) :]
                self._column += len(piece)

    def drop_first(self, count: int) -> None:
        """Removes the first lines."""
        del self.lines[:count]
        self._row = max(0, self._row - count)

    def _move(self, number: int, direction: str) -> None:
        if direction == "A":
            self._row = max(0, self._row - max(1, number))
        elif direction == "B":
            self._row = min(len(self.lines) - 1, self._row + max(1, number))
        elif number == 0:  # K: clears to the end of the line; J: of the screen
            self.lines[self._row] = self.lines[self._row][: self._column]
            if direction == "J":
                del self.lines[self._row + 1 :]
        elif number == 2 and direction == "K":
            self.lines[self._row] = ""


class ConsoleLog:
    """The copy of one command's output.

    Args:
        title: The command as typed, without passwords; the file's first line has it, with the time.
    """

    def __init__(self, title: str) -> None:
        self._screen = Screen()
        self._screen.feed(f"# {datetime.now().astimezone().isoformat(' ', 'seconds')}  {terminal(title)}\n")
        self._lock = threading.RLock()
        self.thread = threading.get_ident()
        self._process = os.getpid()
        self._file: BinaryIO | None = None
        self._start = 0  # position of the first line of `_written` in the file
        self._written: list[bytes] = []  # as the file has them; the last one without a newline
        self._failed = False

    def add(self, text: str) -> None:
        """Adds what was printed. A process that was forked from this one adds nothing."""
        if self._failed or os.getpid() != self._process:
            return
        with self._lock:
            self._screen.feed(text)
            self._save()

    def keep_in(self, folder: Path, name: str = FILE) -> None:
        """From now on the copy is in a file; what is there stays. Does nothing if it has a file already."""
        if self._file is not None or self._failed:
            return
        with self._lock:
            try:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
                self._file = os.fdopen(os.open(folder / name, flags, 0o644), "r+b", buffering=0)
                self._start = self._file.seek(0, os.SEEK_END)
                if self._start:
                    self._start += cast("int", self._file.write(b"\n"))
            except OSError as error:
                self._fail(error)
            self._save()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._failed = True

    def _save(self) -> None:
        """Writes the lines that have changed. They are the last ones, so the rest of the file is written again."""
        if self._file is None:
            return
        lines = [line.rstrip().encode("utf-8", "backslashreplace") for line in self._screen.lines]
        last = max(0, len(self._written) - 1)  # has no newline in the file
        first = next((i for i in range(min(last, len(lines))) if lines[i] != self._written[i]), min(last, len(lines)))
        rest = memoryview(b"\n".join(lines[first:]))
        try:
            position = self._start + sum(len(line) + 1 for line in lines[:first])
            if position < self._file.seek(0, os.SEEK_END):
                self._file.seek(position)
                self._file.truncate()
            while rest:
                rest = rest[self._file.write(rest) :]
        except (OSError, ValueError) as error:
            self._fail(error)
            return
        extra = max(0, len(lines) - WINDOW)
        self._start += sum(len(line) + 1 for line in lines[:extra])
        self._written = lines[extra:]
        self._screen.drop_first(extra)

    def _fail(self, error: Exception) -> None:
        """Says once that the file is not complete. The output itself does not depend on it."""
        self.close()
        why = getattr(error, "strerror", None) or error
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(f"warning: {FILE} is not complete: {why}; the command continues", file=_original(sys.stderr))


class CopiedStream:
    """A stream whose text also goes to logs. All but writing is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.logs: list[ConsoleLog] = []

    def write(self, text: str) -> int:
        _add(text, self.logs)
        return self.stream.write(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The stream's bytes: click prints on them if the terminal has no UTF-8."""
        return CopiedBytes(self.stream.buffer, self.logs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class CopiedBytes:
    """The same for bytes."""

    def __init__(self, stream: BinaryIO, logs: list[ConsoleLog]) -> None:
        self._stream = stream
        self._logs = logs

    def write(self, content: bytes) -> int:
        _add(bytes(content).decode("utf-8", "replace"), self._logs)
        return self._stream.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def copied_output(title: str) -> Iterator[None]:
    """Within, what is printed is also kept for `keep_output_in`; also a decorator.

    Calls in several threads may overlap: each keeps what its own thread prints.

    Args:
        title: The command as typed, without passwords, or the function that was called.
    """
    log = ConsoleLog(title)
    streams = {name: _copied(getattr(sys, name)) for name in ("stdout", "stderr")}
    _active.append(log)
    for name, stream in streams.items():
        stream.logs.append(log)
        setattr(sys, name, stream)
    try:
        yield
    finally:
        _active.remove(log)
        for name, stream in streams.items():
            stream.logs.remove(log)
            if not stream.logs and getattr(sys, name) is stream:
                setattr(sys, name, stream.stream)
        log.close()


def keep_output_in(folder: Path) -> None:
    """Keeps what this command prints in a folder, if it is copied: the first folder of a command gets all of it.

    A worker of a search has its own file.
    """
    if logs := _of_thread(_active):
        number = os.environ.get(WORKER, "")
        logs[-1].keep_in(folder, worker_file(int(number)) if number.isdecimal() else FILE)


def worker_file(number: int) -> str:
    """The name of the file of a worker of a search."""
    return f"console-worker-{number}.log"


def add_output(text: str) -> None:
    """Adds a text that was written to the terminal's file descriptor, and not through `sys.stderr`."""
    _add(text, _active)


def _add(text: str, logs: list[ConsoleLog]) -> None:
    for log in _of_thread(logs):
        log.add(text)


def _of_thread(logs: list[ConsoleLog]) -> list[ConsoleLog]:
    """Those of the thread that calls this. A thread that a command has started has none, and gets all."""
    return [log for log in logs if log.thread == threading.get_ident()] or [*logs]


def _copied(stream: TextIO) -> CopiedStream:
    return stream if isinstance(stream, CopiedStream) else CopiedStream(stream)


def _original(stream: TextIO) -> TextIO:
    while isinstance(stream, CopiedStream):
        stream = stream.stream
    return stream
