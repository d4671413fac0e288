"""The exceptions of `harness`, and the exit code of a command for each.

    HarnessError            1   base class of all expected errors
    ├── UsageError          2   the command line, or a value in it
    │   ├── ExperimentError 2   the experiment file, or one of its fields
    │   │   └── UserCodeError 2 a function of the user's: it raised an error, or returned a wrong value
    │   └── ModelError      2   the model, its weights, or the layers to freeze
    ├── GateError           3   the model is not accurate enough
    ├── DataError           4   the images, or their folder
    ├── RemoteError         5   a remote: no network, no permission
    ├── StorageError        1   the disk: full, read-only, not there
    ├── TrainingError       1   the training: the loss is not a number, no memory left
    └── StoppedError      130   Ctrl-C, with more to say

Three signals end a command without a HarnessError: Ctrl-C with 130 (KeyboardInterrupt), SIGTERM with 143, and SIGHUP,
when the terminal is closed, with 129 (both `Terminated`). Each is 128 plus the signal's number, as in a shell.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote
from types import TracebackType

LONGEST = 4000  # characters of a line of an error
LONGEST_REPR = 400  # characters
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
ELSEWHERE = "choose another folder with --runs, or make this one writable"


class HarnessError(Exception):
    """The base class of all expected errors. Its text has three lines: what happened, why, and what to type.

    Args:
        what: What happened.
        why: The reason.
        fix: What to do: a command, or a sentence.

    Attributes:
        what: What happened, on one line.
        why: The reason, on one line.
        fix: What to do, on one line.
        exit_code: The exit code of a command that ends with this error.

    Example:
        >>> import harness
        >>> try:
        ...     harness.run("no_such_experiment")
        ... except harness.HarnessError as error:
        ...     print(error.what)
        there is no experiment 'no_such_experiment'
    """

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = (_line(text) for text in (what, why, fix))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.what[:LONGEST_REPR]!r})"

    def __str__(self) -> str:
        return f"error: {self.what}\n  why: {self.why}\n  try: {self.fix}"


def _line(text: object) -> str:
    """Puts a text on one line, and shortens it in the middle if it is very long."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


class UsageError(HarnessError):
    exit_code = 2


class ExperimentError(UsageError):
    pass


class UserCodeError(ExperimentError):
    pass


class ModelError(UsageError):
    pass


class GateError(HarnessError):
    exit_code = 3


class DataError(HarnessError):
    exit_code = 4


class RemoteError(HarnessError):
    exit_code = 5


class StorageError(HarnessError):
    """`first` is how to repair the disk, if that is possible. The command to type after it is set with `then`."""

    def __init__(self, what: str, why: str, fix: str, first: str = "") -> None:
        super().__init__(what, why, fix)
        self.first = first

    def then(self, command: str) -> None:
        """Sets the command to type after the disk was repaired."""
        if self.first:
            self.fix = _line(f"{self.first}, then {command}")


class TrainingError(HarnessError):
    pass


class StoppedError(HarnessError):
    exit_code = 130


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. A BaseException, like KeyboardInterrupt: `except Exception` does not catch it."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as in a shell."""
        return 128 + self.number


@contextlib.contextmanager
def storage_errors(path: Path | str, fix: str = ELSEWHERE) -> Iterator[None]:
    """Converts an OSError during the writing of `path` to a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, fix) from error


def storage_error(error: OSError, path: Path | str, fix: str = ELSEWHERE) -> StorageError:
    """Makes the error for an OSError that was raised while writing `path`. `fix` is for a disk that is not full."""
    folder = next((parent for parent in Path(path).absolute().parents if parent.is_dir()), Path("/"))
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    first = ""
    if error.errno in FULL:
        first = f"make room ({_room_command(error, folder)})"
        fix = f"{first}, then run again"
    elif error.errno in READ_ONLY:
        first = f"make {quote(str(folder))} writable"
    why = f"{error.strerror or error}; files that were written before are complete"
    return StorageError(f"{path} cannot be written", why, fix, first)


def _room_command(error: OSError, folder: Path) -> str:
    """The command that shows which limit is reached: bytes, inodes, a quota, or the limit of a process."""
    if error.errno == errno.EDQUOT:
        return "quota -s"
    if error.errno == errno.EFBIG:
        return "ulimit -f"
    with contextlib.suppress(OSError, AttributeError):  # Windows has no statvfs
        status = os.statvfs(folder)
        if status.f_files and not status.f_favail and status.f_bavail:
            return f"df -i {quote(str(folder))}, since no inode is free"
    return f"df -h {quote(str(folder))}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'lr'?"`, or "" if no known word is similar."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def show_uncaught() -> None:
    """Sets a hook: an uncaught `HarnessError` prints its three lines and ends the process with its exit code.

    `python experiments/x.py` needs it: its Experiment is made before code of ours runs that could catch the error.
    """

    if getattr(sys.excepthook, "of_harness", False):
        return
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, HarnessError) or "--debug" in sys.argv:
            before(kind, error, trace)
            return
        letters = (letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in str(error))
        print("".join(letters), file=sys.stderr)
        sys.exit(error.exit_code)

    hook.of_harness = True  # type: ignore[attr-defined]
    sys.excepthook = hook
