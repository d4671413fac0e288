"""Memory that a training step has given back is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3) in glibc


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed, from now on. True where that could be told.

    By default glibc asks the system anew for each large tensor and returns it when it is freed, and the system fills
    every page with zeros again: 100,000 page faults a step for ResNet18 at 224 px in batches of 32, a fifth to a third
    of the time on a CPU. The process keeps the largest size that it ever had, which is the same largest size.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
