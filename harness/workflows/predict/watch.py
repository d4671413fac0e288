"""Images that appear in folders while a process looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.data.named_images import NamedImages

SECONDS = 1.0  # between two looks; looking also works on network folders, where the system announces nothing
Stamp = tuple[int, int]  # (size, time of the last change)


def new_images(
    images: NamedImages, wait: Callable[[float], object] = time.sleep, seconds: float = SECONDS
) -> Iterator[list[Path]]:
    """Yields the images that are there, then those that appear or change, without end.

    A file counts when its size and time have stayed the same between two looks, so that none is read half written.

    Args:
        images: Where to look.
        wait: Waits for a number of seconds.
        seconds: Between two looks.
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
    """None for a file that has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
