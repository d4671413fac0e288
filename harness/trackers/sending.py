"""One process at a time sends a run to MLflow: another one waits for it."""

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
    """Within, no other process sends the run. The record is read again, which the other one may have changed.

    Raises UsageError if another process still sends it after five minutes.
    """
    if not os.access(folder.path, os.W_OK):  # no process could record there what it has sent
        yield
        return
    deadline, is_told = time.monotonic() + MOST_SECONDS, False
    while True:
        with folder.sending() as alone:
            if alone:
                folder.reload()
                yield
                return
        if not is_told:
            print_line(f"{folder.path}: another process sends it to MLflow at this moment; waiting for its end")
            is_told = True
        if time.monotonic() > deadline:
            raise UsageError(
                f"{folder.path} is being sent to MLflow",
                f"another process still does so after {MOST_SECONDS:.0f} s",
                "the same command again, once that process has ended",
            )
        time.sleep(LOOK_SECONDS)
