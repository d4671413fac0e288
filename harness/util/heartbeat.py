"""Signs of life: whether a process that works on something, perhaps on another machine, still does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.util.processes import has_ended

BEAT_SECONDS = 30.0
STALE_SECONDS = 150.0  # five beats missed: the machine is gone, or cut off


def is_gone(owner: Mapping[str, Any], beat: float) -> bool:
    """Whether that process has ended. Of another machine's, whether its last sign of life, at `beat`, is too old."""
    ended = has_ended(owner)
    return time.time() - beat > STALE_SECONDS if ended is None else ended


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Within, `beat` is called every half minute, by a thread of its own; that it fails is for the main one to find."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(BEAT_SECONDS):
            with contextlib.suppress(Exception):
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
