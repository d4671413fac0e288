"""Watches folders for new images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.data.named_images import NamedImages

SECONDS = 1.0  # between two scans; scanning also works on network folders, which send no events
Stamp = tuple[int, int]  # (size, time of the last change)


def new_images(
    images: NamedImages, wait: Callable[[float], object] = time.sleep, seconds: float = SECONDS
) -> Iterator[list[Path]]:
    """Yields existing images, then images that appear or change, without end.

    A file is yielded when its size and time are the same in two scans, so that no incomplete file is read.

    Args:
        images: The folders to scan.
        wait: Waits for a number of seconds.
        seconds: Between two scans.
    """
    done: dict[str, Stamp] = {}
    pending: dict[str, Stamp] = {}
    while True:
        ready, seen = [], {}
        for path in images:
            name, stamp = str(path), _stamp(path)
            if stamp is None or done.get(name) == stamp:
                continue
            if pending.get(name) == stamp:
                ready.append(path)
                done[name] = stamp
            else:
                seen[name] = stamp
        pending = seen
        if ready:
            yield ready
        else:
            wait(seconds)


def _stamp(path: Path) -> Stamp | None:
    """Size and time of a file; None if it no longer exists."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
