"""Locks between processes: one process at a time holds a lock file, until it releases it or ends (also by kill -9)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from harness.errors import storage_errors
from harness.util.processes import has_ended, this_process

POLL_SECONDS = 0.01
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # a file system without locks, such as NFS without lock server
SIGNATURE_AT, SIGNATURE_BYTES = 1, 256  # position in the lock file; on Windows, the locked first byte is not readable
SHARED_BY = 0o022  # permission bits of a folder that other users may write to

Tell = Callable[[str], object]


@contextlib.contextmanager
def locked(path: Path, wait: bool = False, required: bool = True, tell: Tell | None = None) -> Iterator[bool]:
    """Locks the file `path`. Yields True, or False if another process holds the lock. The file is not removed.

    Args:
        path: The lock file. It is created if it is missing, writable for all users who may write to its folder. A link
            is refused, because its target would be created.
        wait: Wait for the other process instead.
        required: If False, and the file system has no locks, continues without a lock and yields True.
        tell: Called with the name of the holder before this process waits for it. With it, this process writes its
            signature to the lock file, for others that wait.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    shared = path.parent.stat().st_mode & SHARED_BY  # FileLock would create the folder
    mode: dict[str, Any] = {"mode": 0o644 | shared} if shared and os.name == "posix" else {}
    # Without kernel locks, FileLock would use the existence of the file as a lock, which stays after kill -9.
    lock = FileLock(path, timeout=0, poll_interval=POLL_SECONDS, fallback_to_soft=False, **mode)
    try:
        alone = _acquired(lock)
        if wait and not alone:
            if tell is not None:
                tell(holder(path))
            alone = bool(lock.acquire(timeout=-1))
    except OSError as error:
        if required or error.errno not in NO_LOCKS:
            raise
        alone = True
    try:
        if tell is not None and lock.is_locked:
            _sign(path)
        yield alone
    finally:
        if lock.is_locked:
            lock.release()


@contextlib.contextmanager
def lock_of(
    path: Path,
    wait: bool = False,
    fix: str = "choose another folder with --runs, on a disk that can lock files",
    tell: Tell | None = None,
    required: bool = True,
) -> Iterator[bool]:
    """Like `locked`. Raises StorageError if the file cannot be locked; `fix` is what to type."""
    if path.is_symlink() or path.is_dir():
        fix = f"rm -r {quote(str(path))}, which is not a lock of this program"
    with contextlib.ExitStack() as stack:
        with storage_errors(path, fix):
            alone = stack.enter_context(locked(path, wait, required, tell))
        yield alone


def holder(path: Path) -> str:
    """The process that holds a lock, as text: "process 4711", with its machine if it is another one."""
    process = _signature(path)
    ended = has_ended(process)
    if not isinstance(process.get("pid"), int) or ended:  # an earlier holder's signature
        return "another process"
    return f"process {process['pid']}" + (f" on {process.get('host')}" if ended is None else "")


def is_signed_here(path: Path) -> bool:
    """Whether this process has signed the lock. False if the file system has no locks."""
    return _signature(path) == this_process()


def remove_lock(path: Path) -> None:
    """Removes a lock file unless a process holds the lock. Raises OSError."""
    if not path.exists():
        return
    with locked(path, required=False) as alone:
        if alone and os.name != "nt":  # removed while locked: a process that has it open notices, and creates another
            path.unlink(missing_ok=True)
    if alone and os.name == "nt":  # Windows cannot remove an open file
        with contextlib.suppress(PermissionError):
            path.unlink()


def _acquired(lock: BaseFileLock) -> bool:
    """Tries to lock. False if another process holds the lock."""
    with contextlib.suppress(Timeout):
        return bool(lock.acquire())
    return False


def _sign(path: Path) -> None:
    """Writes this process's signature to a lock file that it holds, but never to another kind of file."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            there = os.fstat(file)
            if there.st_nlink == 1 and there.st_size in (0, SIGNATURE_AT + SIGNATURE_BYTES):
                os.lseek(file, SIGNATURE_AT, os.SEEK_SET)
                os.write(file, json.dumps(this_process()).encode().ljust(SIGNATURE_BYTES))
        finally:
            os.close(file)


def _signature(path: Path) -> dict[str, Any]:
    """The process that has signed a lock; empty if there is none."""
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb", buffering=0) as file:
        file.seek(SIGNATURE_AT)
        process = json.loads(file.read(SIGNATURE_BYTES))
        if isinstance(process, dict):
            return process
    return {}
