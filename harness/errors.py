"""The exceptions of `harness`, drawn once, each with the exit code of a command that ends with it.

    HarnessError            1   something is wrong that has a name
    ├── UsageError          2   the command line, or a value in it
    │   ├── ExperimentError 2   the experiment file, or a field of it
    │   │   └── UserCodeError 2 a function that the experiment brings: what it raised, or what it returned
    │   └── ModelError      2   the model, its weights, or what to freeze of it
    ├── GateError           3   the model is not good enough
    ├── DataError           4   the images, or the folder they are in
    ├── RemoteError         5   what lies elsewhere: no network, no permission
    ├── StorageError        1   the disk: full, read-only, gone
    ├── TrainingError       1   the training itself: the loss is not a number, no memory left
    └── StoppedError      130   Ctrl-C, where there is more to say than that

Three more codes have no such exception: 130 is Ctrl-C (KeyboardInterrupt), 143 is SIGTERM and 129 is SIGHUP, the end of
the terminal (both `Terminated`). Each is 128 and the signal's number, as in a shell.
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
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
ELSEWHERE = "choose another folder with --runs, or make this one writable"


class HarnessError(Exception):
    """What is wrong, why, and what to type: three lines for a person.

    `why` and `fix` may be sentences or commands; newlines in them are folded, so that there are always three lines.
    """

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = (_line(text) for text in (what, why, fix))

    def __str__(self) -> str:
        return f"error: {self.what}\n  why: {self.why}\n  try: {self.fix}"


def _line(text: object) -> str:
    """A text on one line, cut in the middle where it would fill the screen."""
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
    """`first` is what to do about the disk, if anything can be: what to type afterwards depends on the command."""

    def __init__(self, what: str, why: str, fix: str, first: str = "") -> None:
        super().__init__(what, why, fix)
        self.first = first

    def then(self, command: str) -> None:
        """Says what to type once there is room, or once the folder can be written."""
        if self.first:
            self.fix = _line(f"{self.first}, then {command}")


class TrainingError(HarnessError):
    pass


class StoppedError(HarnessError):
    exit_code = 130


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt it is no Exception, so that nothing catches it by mistake."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as in a shell."""
        return 128 + self.number


@contextlib.contextmanager
def storage_errors(path: Path | str, fix: str = ELSEWHERE) -> Iterator[None]:
    """Turns an OSError while `path` is written into a `StorageError` that says what the disk said."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, fix) from error


def storage_error(error: OSError, path: Path | str, fix: str = ELSEWHERE) -> StorageError:
    """The error to raise from an OSError that arose while `path` was written. `fix` is for a disk that is not full."""
    folder = next((parent for parent in Path(path).absolute().parents if parent.is_dir()), Path("/"))
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    first = ""
    if error.errno in FULL:
        first = f"make room ({_room_command(error, folder)})"
        fix = f"{first}, then run again"
    elif error.errno in READ_ONLY:
        first = f"make {quote(str(folder))} writable"
    why = f"{error.strerror or error}; what was written before is whole"
    return StorageError(f"{path} cannot be written", why, fix, first)


def _room_command(error: OSError, folder: Path) -> str:
    """The command that shows what is used up: bytes, inodes, a quota, or the limit of a process."""
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
    """`"; did you mean 'lr'?"`, or nothing where no known word is near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def show_uncaught() -> None:
    """From here on, a `HarnessError` that nothing catches prints its three lines and ends the process with its code.

    For `python experiments/x.py`: there the experiment is made before any code of ours could catch what it raises.
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
