"""Keeps the memory that a training step frees, for the next step."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3) in glibc


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory in the process. Returns whether this worked.

    By default, glibc requests memory from the system for each large tensor, and returns it when the tensor is freed.
    The system fills each new page with zeros. For ResNet18 at 224 px with batches of 32, this is 100,000 page faults
    per step, a fifth to a third of the time on a CPU. The peak memory of the process stays the same.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
