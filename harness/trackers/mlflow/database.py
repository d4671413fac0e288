"""Makes an SQLite store whole before MLflow opens it: a new one, one that was never finished, one of an older MLflow.

MLflow makes and migrates its tables in about fifty transactions, in the file itself. If it is killed between two of
them, or if the disk is full, no MLflow can use the file. So this is done to another file, in a process that ends, under
a lock; the store gets the result in one step.
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

QUIET_SECONDS = 3.0  # without a change to an unfinished store: nobody is making it now
MOST_SECONDS = 60.0  # to wait for the program that makes it
LOOK_SECONDS = 0.05  # between two looks at the process that makes a store
BESIDE = ("-journal", "-wal", "-shm")  # what SQLite writes beside a database
TO_DO = (Condition.ABSENT, Condition.HALF_MADE, Condition.OLDER)
# `mlflow db upgrade`, but it ends when its input does: with the process that started it. The current folder is no place
# to import from.
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
    """A store could not be made: what MLflow or the disk said."""


class UpgradeError(StoreError):
    """A store that holds something could not be brought up to date. It is as it was.

    Attributes:
        earlier: The copy of an earlier version of it, if there is one.
    """

    def __init__(self, why: str, earlier: Path | None) -> None:
        super().__init__(why)
        self.earlier = earlier


class StoppedError(StoreError):
    """The making of a store was stopped, since the run had been ended."""


def never() -> bool:
    return False


def make_whole(path: Path, stop: Callable[[], bool] = never) -> str:
    """Makes the store at `path` if there is none, and mends or migrates the one that is there, if that is needed.

    A store that holds nothing and is half made is kept under another name. One of an older MLflow is copied first.
    Other processes that want the same wait.

    Args:
        path: The SQLite file, there or not.
        stop: Is asked often; once it returns True, the work is given up and nothing of it is left.

    Returns:
        A note for people; an empty string if there is nothing to say.

    Raises:
        StoreError: It could not be made. What was there is as it was.
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
            return _bring_up_to_date(path, state.revision, stop)
        if state.condition is Condition.HALF_MADE:
            aside = _set_aside(path)
            _make(path, stop)
            return f"{path.name} was half made and held no runs: it is {aside.name} now, and a new store was made"
        if state.condition is Condition.ABSENT:
            _make(path, stop)
    return ""


def earlier_copies(path: Path) -> list[Path]:
    """The copies that were made of a store before MLflow migrated it, the last one first."""
    copies = path.parent.glob(f"{glob.escape(path.name)}.before-*")
    return sorted(copies, key=lambda copy: copy.stat().st_mtime, reverse=True)


@contextlib.contextmanager
def _alone(path: Path, stop: Callable[[], bool]) -> Iterator[None]:
    """Within, no other process of ours makes this store. The lock's file is removed, so that nobody has to wonder."""
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
        raise StoppedError("the run was ended while MLflow's store was made")
    time.sleep(LOOK_SECONDS)


def _is_being_written(path: Path, deadline: float) -> bool:
    """Whether another program may be making the store at this moment."""
    return time.time() - path.stat().st_mtime < QUIET_SECONDS and time.monotonic() < deadline


def _make(path: Path, stop: Callable[[], bool]) -> None:
    """Makes a store beside `path`, and gives it that name unless there is one by then."""
    with _beside(path) as made:
        _upgrade(made, stop)
        try:
            os.link(made, path)  # which fails if the name is taken
        except FileExistsError:
            if examine(path).condition is Condition.ABSENT:  # an empty file
                made.replace(path)
        except OSError:  # a file system without hard links
            if not path.exists():
                made.rename(path)


def _bring_up_to_date(path: Path, revision: str, stop: Callable[[], bool]) -> str:
    """Copies the store twice: one copy is kept, and the other is migrated and written back, in one transaction."""
    kept = path.with_name(f"{path.name}.before-{revision or 'migration'}")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store, _beside(path) as work:
        store.execute("BEGIN IMMEDIATE")  # what others would write now would be lost
        _copy(path, work)
        try:
            _upgrade(work, stop)
        except StoppedError:
            raise
        except StoreError as error:
            raise UpgradeError(str(error), next(iter(earlier_copies(path)), None)) from error
        if not kept.exists():
            with _beside(path) as copy:
                _copy(path, copy)
                copy.rename(kept)
        store.execute("ROLLBACK")
        deadline = time.monotonic() + MOST_SECONDS

        def check(*_: object) -> None:
            if stop() or time.monotonic() > deadline:
                raise StoppedError("database is locked: another program reads it all the time")

        with contextlib.closing(sqlite3.connect(work)) as migrated:
            migrated.backup(store, progress=check)
    return f"an older MLflow made {path.name}: it was copied to {kept.name}, and then brought up to date"


def _copy(path: Path, to: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as store, contextlib.closing(sqlite3.connect(to)) as copy:
        store.backup(copy)


def _upgrade(path: Path, stop: Callable[[], bool]) -> None:
    """Has MLflow make, or migrate, the store at `path`. Raises StoreError if it does not become whole."""
    # relative to its folder, whose path may hold a "?", where a database's address would end
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
    """The path of a file beside `path`, which is removed afterwards if it is still there."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        yield beside
    finally:
        for name in ("", *BESIDE):
            Path(f"{beside}{name}").unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Removes what a process left that was killed while it made the store."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}-*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _set_aside(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.unfinished{f'-{i}' if i else ''}") for i in range(1000))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    for name in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{name}").rename(f"{aside}{name}")
    return aside
