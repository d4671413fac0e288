"""Locks between processes: a file that one process at a time holds, until it lets go or ends, also by kill -9."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from filelock import FileLock, Timeout

from harness.errors import storage_errors

POLL_SECONDS = 0.01
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # the file system has none, such as NFS without its lock server


@contextlib.contextmanager
def locked(path: Path, wait: bool = False, required: bool = True) -> Iterator[bool]:
    """Locks the file `path`, which stays when the lock ends. Yields True, or False if another process holds the lock.

    Args:
        path: Is created where it is missing. A link is refused, since its target would be created.
        wait: Wait for the other process instead.
        required: False goes on without a lock, and yields True, where the file system has none.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    path.parent.stat()  # FileLock would create the folder
    # Instead of a lock that the kernel keeps, FileLock would take the file's existence, which outlives kill -9.
    lock = FileLock(path, timeout=-1 if wait else 0, poll_interval=POLL_SECONDS, fallback_to_soft=False)
    alone = True
    try:
        lock.acquire()
    except Timeout:
        alone = False
    except OSError as error:
        if required or error.errno not in NO_LOCKS:
            raise
    try:
        yield alone
    finally:
        if lock.is_locked:
            lock.release()


@contextlib.contextmanager
def lock_of(
    path: Path, wait: bool = False, fix: str = "choose another folder with --runs, on a disk that can lock files"
) -> Iterator[bool]:
    """As `locked`. Raises StorageError if the file cannot be locked, with `fix` as what to type."""
    if path.is_symlink() or path.is_dir():
        fix = f"rm -r {quote(str(path))}, which is no lock of this program"
    with contextlib.ExitStack() as stack:
        with storage_errors(path, fix):
            alone = stack.enter_context(locked(path, wait))
        yield alone
