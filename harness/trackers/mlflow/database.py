"""Makes, completes or migrates an SQLite store before MLflow opens it.

MLflow makes and migrates its tables in about fifty transactions, in the file itself. If it is killed between two of
them, or if the disk is full, no MLflow can use the file. So a separate process works on another file under a lock, and
the store gets the result in one step.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.trackers.mlflow.condition import Condition, examine
from harness.util.locks import locked

QUIET_SECONDS = 3.0  # an unfinished store that has not changed for this time is not being made by another program
MOST_SECONDS = 60.0  # to wait for the program that makes it
LOOK_SECONDS = 0.05  # between two checks of the process that makes a store
BESIDE = ("-journal", "-wal", "-shm")  # suffixes of the files that SQLite writes beside a database
TO_DO = (Condition.ABSENT, Condition.HALF_MADE, Condition.OLDER)
# `mlflow db upgrade`, but it ends when its standard input closes, so it ends with the process that started it.
# It does not import modules from the current folder.
UPGRADE = """
import os, runpy, sys, threading
def wait():
    while os.read(0, 1):
        pass
    os._exit(1)
threading.Thread(target=wait, daemon=True).start()
sys.path[:] = [path for path in sys.path if path]
sys.argv = ["mlflow", "db", "upgrade", sys.argv[1]]
runpy.run_module("mlflow", None, "__main__", True)
"""


class StoreError(Exception):
    """A store could not be made. The text is the error of MLflow or the disk."""


class UpgradeError(StoreError):
    """A store that holds runs could not be migrated. It is unchanged.

    Attributes:
        earlier: A copy of the store from before an earlier migration, if there is one.
    """

    def __init__(self, why: str, earlier: Path | None) -> None:
        super().__init__(why)
        self.earlier = earlier


class StoppedError(StoreError):
    """The making of a store was stopped, because the run has ended."""


def never() -> bool:
    return False


def make_whole(path: Path, stop: Callable[[], bool] = never) -> str:
    """Makes the store at `path` if there is none, or completes or migrates the existing one if that is needed.

    An incomplete store without runs is renamed. A store of an older MLflow is copied first. Other processes that need
    the same store wait.

    Args:
        path: The SQLite file, which need not exist.
        stop: Called often. Once it returns True, the work is given up and its files are removed.

    Returns:
        A warning for the user; an empty string if there is none.

    Raises:
        StoreError: It could not be made. An existing store is unchanged.
        sqlite3.Error: The file is damaged or locked.
        OSError: The folder cannot be written.
    """
    path = Path(os.path.realpath(path))
    if examine(path).condition not in TO_DO:
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path, stop):
        _remove_leftovers(path)
        state = examine(path)
        deadline = time.monotonic() + MOST_SECONDS
        while state.condition in (Condition.HALF_MADE, Condition.OLDER) and _is_being_written(path, deadline):
            _wait(stop)
            state = examine(path)
        if state.condition is Condition.OLDER:
            return _migrate(path, state.revision, stop)
        if state.condition is Condition.HALF_MADE:
            renamed = _rename_unfinished(path)
            _make(path, stop)
            return f"{path.name} was incomplete and held no runs: it was renamed {renamed.name}; a new store was made"
        if state.condition is Condition.ABSENT:
            _make(path, stop)
    return ""


def earlier_copies(path: Path) -> list[Path]:
    """The copies of a store from before MLflow migrated it, newest first."""
    copies = path.parent.glob(f"{glob.escape(path.name)}.before-*")
    return sorted(copies, key=lambda copy: copy.stat().st_mtime, reverse=True)


@contextlib.contextmanager
def _alone(path: Path, stop: Callable[[], bool]) -> Iterator[None]:
    """In this block, no other process of harness makes this store. The lock file is removed afterwards."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with locked(lock, required=False) as alone:
            if alone:
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):
                        lock.unlink(missing_ok=True)
                return
        _wait(stop)


def _wait(stop: Callable[[], bool]) -> None:
    if stop():
        raise StoppedError("the run ended while MLflow's store was being made")
    time.sleep(LOOK_SECONDS)


def _is_being_written(path: Path, deadline: float) -> bool:
    """Whether another program may be making the store now."""
    return time.time() - path.stat().st_mtime < QUIET_SECONDS and time.monotonic() < deadline


def _make(path: Path, stop: Callable[[], bool]) -> None:
    """Makes a store beside `path`, then moves it to `path` unless there is a store by then."""
    with _beside(path) as made:
        _upgrade(made, stop)
        try:
            os.link(made, path)  # fails if the name is taken
        except FileExistsError:
            if examine(path).condition is Condition.ABSENT:  # an empty file
                made.replace(path)
        except OSError:  # a file system without hard links
            if not path.exists():
                made.rename(path)


def _migrate(path: Path, revision: str, stop: Callable[[], bool]) -> str:
    """Copies the store twice: one copy is kept; the other one is migrated and written back in one transaction."""
    backup = path.with_name(f"{path.name}.before-{revision or 'migration'}")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store, _beside(path) as work:
        store.execute("BEGIN IMMEDIATE")  # otherwise, what another program writes now would be lost
        _copy(path, work)
        try:
            _upgrade(work, stop)
        except StoppedError:
            raise
        except StoreError as error:
            raise UpgradeError(str(error), next(iter(earlier_copies(path)), None)) from error
        if not backup.exists():
            with _beside(path) as copy:
                _copy(path, copy)
                copy.rename(backup)
        store.execute("ROLLBACK")
        deadline = time.monotonic() + MOST_SECONDS

        def check(*_: object) -> None:
            if stop() or time.monotonic() > deadline:
                raise StoppedError("database is locked: another program keeps reading it")

        with contextlib.closing(sqlite3.connect(work)) as migrated:
            migrated.backup(store, progress=check)
    return f"an older MLflow made {path.name}: it was copied to {backup.name}, then migrated"


def _copy(path: Path, to: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as store, contextlib.closing(sqlite3.connect(to)) as copy:
        store.backup(copy)


def _upgrade(path: Path, stop: Callable[[], bool]) -> None:
    """Lets MLflow make or migrate the store at `path`. Raises StoreError if the result is not complete."""
    # relative to its folder, because a "?" in the folder's path would end the database's address
    command = [sys.executable, "-c", UPGRADE, f"sqlite:///{path.name}"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=path.parent, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                _wait(stop)
        finally:
            process.kill()
            process.communicate()
        if process.returncode == 0 and examine(path).condition is Condition.WHOLE:
            return
        output.seek(0)
        lines = [line.strip() for line in output.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith("File ")]
    raise StoreError((errors or lines or [f"mlflow db upgrade ended with {process.returncode}"])[-1])


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yields the path of a new file beside `path`, and removes that file afterwards."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        yield beside
    finally:
        for name in ("", *BESIDE):
            Path(f"{beside}{name}").unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Removes files of processes that were killed while they made the store."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}-*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _rename_unfinished(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.unfinished{f'-{i}' if i else ''}") for i in range(1000))
    renamed = next(name for name in names if not name.exists())
    path.rename(renamed)
    for suffix in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{renamed}{suffix}")
    return renamed
