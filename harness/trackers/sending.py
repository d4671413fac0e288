"""Lets one process at a time send a run to MLflow; other processes wait."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from harness.errors import UsageError
from harness.runs.run_folder import RunFolder
from harness.util.console import print_line

MOST_SECONDS = 300.0
LOOK_SECONDS = 0.2


@contextlib.contextmanager
def sending_alone(folder: RunFolder) -> Iterator[None]:
    """In this block, no other process sends the run. Reads the record again: another process may have changed it.

    Raises:
        UsageError: Another process still sends it after five minutes.
    """
    if not os.access(folder.path, os.W_OK):  # no process can record there what it has sent
        yield
        return
    deadline, is_printed = time.monotonic() + MOST_SECONDS, False
    while True:
        with folder.sending() as alone:
            if alone:
                folder.reload()
                yield
                return
        if not is_printed:
            print_line(f"{folder.path}: another process is sending it to MLflow; waiting for that process to end")
            is_printed = True
        if time.monotonic() > deadline:
            raise UsageError(
                f"{folder.path} is being sent to MLflow",
                f"another process is still sending it after {MOST_SECONDS:.0f} s",
                "the same command again, once that process has ended",
            )
        time.sleep(LOOK_SECONDS)
