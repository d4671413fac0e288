"""Opens the storage of a study: a journal file, a database, or Optuna's gRPC proxy."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend

from harness.errors import FULL, HarnessError, RemoteError, UsageError, storage_error
from harness.tuning.database import is_sqlite, open_database, read_database, sqlite_file
from harness.tuning.quiet import quiet
from harness.tuning.sqlite_lock import is_locked
from harness.util.addresses import short_address, without_secrets
from harness.util.locks import lock_of

MEMORY = ":memory:"
GRPC_SECONDS = 10
LINE_SECONDS = 1.0  # the longest time to write a line
FIRST_LINE = 65536  # bytes of a journal's first line to read
MISTYPED = re.compile(r"(sqlite|postgres|postgresql|mysql|grpc)(\+\w+)?:/*(?P<rest>.*)")  # an address without "://"


def open_storage(address: str) -> optuna.storages.BaseStorage:
    """Opens the storage at `address`: a file, `grpc://HOST:PORT`, or the URL of a database.

    Raises:
        RemoteError: It does not answer.
        UsageError: The address is not valid.
    """
    with quiet(), answering(address):
        if address == MEMORY:
            return optuna.storages.InMemoryStorage()
        if address.startswith("grpc://"):
            return _proxy(address)
        if "://" in address:
            return open_database(address)
        path = Path(address)
        _require_journal(path)
        lock: Any = _Lock(path)
        if path.is_file():  # taking the lock repairs the last line before the file is read
            lock.acquire()
            lock.release()
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock))


def copied(address: str, study: str) -> optuna.storages.BaseStorage:
    """Copies a study into memory; the copy is empty if there is no such study. Never changes the original.

    Raises the same errors as `open_storage`.
    """
    copy = optuna.storages.InMemoryStorage()
    with quiet(), answering(address):
        storage = _to_read(address)
        if storage is None:
            return copy
        try:
            if study in {summary.study_name for summary in storage.get_all_studies()}:
                optuna.copy_study(from_study_name=study, from_storage=storage, to_storage=copy, to_study_name=study)
        finally:
            close(storage)
    return copy


def close(storage: optuna.storages.BaseStorage) -> None:
    """Closes the connections of a database."""
    storage.remove_session()
    engine = getattr(storage, "engine", None)
    if engine is not None:
        engine.dispose()


def _to_read(address: str) -> optuna.storages.BaseStorage | None:
    """Opens the storage for reading: creates and repairs nothing. Returns None if it does not exist yet."""
    if address == MEMORY:
        return None
    if address.startswith("grpc://"):
        return _proxy(address)
    if "://" not in address:
        _require_journal(Path(address))
        exists = Path(address).is_file()
        return optuna.storages.JournalStorage(JournalFileBackend(address)) if exists else None
    return read_database(address)


@contextlib.contextmanager
def answering(address: str) -> Iterator[None]:
    """Turns each error of a storage in this block into a RemoteError without passwords."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        why = str(cause).strip() or type(cause).__name__
        if "://" not in address and isinstance(error, (AssertionError, KeyError)):
            why = f"Optuna {optuna.__version__} cannot read its lines ({type(error).__name__}: {error})"
        first = without_secrets(why, address).splitlines()[0][:250]
        raise RemoteError(
            f"the study's storage at {short_address(address)} cannot be used", first, _fix(address, error)
        ) from error


def _fix(address: str, error: Exception) -> str:
    """What to type if a storage raised `error`."""
    if is_locked(error):
        path = quote(str(sqlite_file(address)))
        return f"end the process that has locked it (fuser {path} shows it), then the same command continues"
    if "optuna storage upgrade" in str(error):  # the tables are of an older Optuna
        return f"optuna storage upgrade --storage {short_address(address)}, after you have copied the database"
    if "pip install -U optuna" in str(error):
        return "pip install -U optuna, or --storage with another database"
    if "://" not in address and isinstance(error, (AssertionError, KeyError)):
        return "pip install -U optuna if a newer Optuna wrote it, or --storage with another file"
    if "://" not in address and isinstance(error, ValueError):
        return f"mv {quote(address)} {quote(f'{address}.damaged')}, to start another study"
    if "://" not in address and isinstance(error, OSError) and error.errno in FULL:
        return storage_error(error, address).first + ", then the same command continues"
    if "://" not in address or is_sqlite(address):
        return "make it writable, or choose another --storage"
    return "check the address and that the server runs, then the same command continues"


class _Lock:
    """A lock of the kernel, which ends with its process. Optuna's own lock lasts half a minute after a kill -9."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = journal.with_name(f"{journal.name}.lock")
        self._held: contextlib.ExitStack | None = None

    def acquire(self) -> bool:
        with contextlib.ExitStack() as stack:
            fix = "--storage with a file on a disk that can lock files"
            stack.enter_context(lock_of(self._lock, wait=True, fix=fix))
            _repair(self._journal)  # another process may have written half a line: it was killed, or the disk was full
            self._held = stack.pop_all()
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.close()


def _require_journal(path: Path) -> None:
    """Raises UsageError if the file is not a journal. Does not change it."""
    if mistyped := MISTYPED.fullmatch(str(path)):
        kind = str(path).partition(":")[0]
        fix = f"--storage {kind}://{'/' + mistyped['rest'] if kind.startswith('sqlite') else 'HOST:PORT'}"
        raise UsageError(f"{short_address(str(path))} is not an address", "the kind of storage needs :// after it", fix)
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be made", f"there is no folder {path.parent}", f"mkdir -p {path.parent}")
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} cannot be used", "it is a broken link", f"rm {quote(str(path))}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "a study is stored in a file", f"--storage {path / 'optuna.journal'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file", "it is a device or a pipe", "--storage with a file")
    if path.is_file():
        with path.open("rb") as file:
            start = file.readline(FIRST_LINE)
        if start and not _is_entry(start):
            database = start.startswith(b"SQLite format 3")
            fix = f"--storage sqlite:///{path}" if database else "--storage with another file"
            raise UsageError(f"{path} is not an Optuna journal", f"it begins with {start[:12]!r}", fix)


def _is_entry(line: bytes) -> bool:
    """Whether a line can be the first of a journal. It may be incomplete: its writer was killed, or is writing it."""
    if not line.endswith(b"\n"):
        return line.startswith(b'{"op_code"')
    with contextlib.suppress(ValueError):
        entry = json.loads(line)
        return isinstance(entry, dict) and isinstance(entry.get("op_code"), int) and "worker_id" in entry
    return False


def _repair(path: Path) -> None:
    """Removes an incomplete last line: Optuna would append to it, and could not read it. Needs the lock."""
    _wait_for_line(path)
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _wait_for_line(path: Path) -> None:
    """Waits until another program has finished its line, because other programs do not use this lock."""
    with path.open("rb") as file:
        while file.seek(0, os.SEEK_END) and time.time() - path.stat().st_mtime < LINE_SECONDS:
            file.seek(-1, os.SEEK_END)
            if file.read(1) == b"\n":
                return
            time.sleep(0.05)


def _proxy(address: str) -> optuna.storages.BaseStorage:
    host, _, port = address.removeprefix("grpc://").rstrip("/").partition(":")
    if not port.isdigit():
        what = f"{short_address(address)} has no port"
        raise UsageError(what, "Optuna's proxy listens on a port", "--storage grpc://HOST:13000")
    storage: Any = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    storage.wait_server_ready(timeout=GRPC_SECONDS)
    backend: optuna.storages.BaseStorage = storage
    return backend
