"""The shared memory through which loader processes send their batches: its size, and the error if it is too small.

A container has 64 MB by default. If a batch does not fit, DataLoader fails in a background thread without an error, and
the training waits without end. So each batch is moved to shared memory in a place where an error can be reported.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import Tensor

from harness.errors import TrainingError

FOLDER = Path("/dev/shm")
MORE = "-s workers=0; or more of it: docker run --shm-size=8g, mount -o remount,size=8G /dev/shm"


def free_bytes(folder: Path = FOLDER) -> int | None:
    """Returns the free shared memory in bytes; None if it is not a folder on this system."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def shared(batch: Tensor) -> Tensor:
    """Moves a batch to shared memory. Raises TrainingError if it does not fit."""
    try:
        batch.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        raise lack(error, batch.nbytes) from None
    return batch


def lack(error: BaseException, size: int | None = None) -> TrainingError:
    """Returns the error for a user if `error` is about shared memory."""
    free = free_bytes()
    known = "" if free is None else f"{FOLDER} has {free / 1e6:.1f} MB left, "
    known += "" if size is None else f"a batch takes {size / 1e6:.1f} MB, "
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return TrainingError("a loader process cannot send its batch", known + first, MORE)


def loader_ended(error: RuntimeError) -> TrainingError | None:
    """Returns the error for a user if a loader process was killed; None if `error` has another cause."""
    text = str(error)
    if "DataLoader worker" not in text:
        return None
    if "Bus error" in text or "shared memory" in text:
        return lack(error)
    why = f"{text.splitlines()[0].rstrip('.')}. The system kills a process if there is no memory left"
    return TrainingError("a loader process has ended", why, "-s workers=0, or a smaller -s batch_size")


def most_workers(wanted: int, batch: int, waiting: int, free: int | None) -> int:
    """Returns the number of loader processes whose batches fit in shared memory, at most `wanted`.

    Args:
        wanted: Number of processes.
        batch: Bytes of one batch.
        waiting: Batches that wait for the training, in addition to two per process.
        free: Free bytes of shared memory; None if not known.
    """
    if free is None or not batch:
        return wanted
    return max(0, min(wanted, (free // batch - waiting) // 2))


def core_count() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
