"""Heartbeats, which show whether a process is still running, also on another machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.util.processes import has_ended

BEAT_SECONDS = 30.0
STALE_SECONDS = 150.0  # five missed heartbeats: the machine is off or has no network


def is_gone(owner: Mapping[str, Any], beat: float) -> bool:
    """Whether a process has ended. For a process of another machine: whether its last heartbeat, `beat`, is too old."""
    ended = has_ended(owner)
    return time.time() - beat > STALE_SECONDS if ended is None else ended


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Calls `beat` every 30 s in a separate thread. Its errors are ignored: the main thread meets the same problem."""
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
