"""The process that sends what earlier runs and studies left unsent: `python -m harness.trackers.catch_up RUNS`.

Nobody waits for it: it is started by the process that follows a run, goes on when that has ended, and ends after some
minutes at the latest. What it cannot send, the next one tries.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.util.locks import locked
from harness.util.processes import python_module

MOST_SECONDS = 300.0  # after which no other run is begun


def start_catching_up(runs: Path) -> bool:
    """Starts the process if MLflow lacks a run or a study under `runs`, or has one that was removed.

    Returns whether it has.
    """
    from harness.runs.pending_removals import has_pending
    from harness.trackers.mlflow.unsent import unsent_runs, unsent_studies

    if not has_pending() and not unsent_runs(runs) and not unsent_studies(runs):
        return False
    nothing = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        subprocess.Popen(
            python_module("harness.trackers.catch_up", str(runs)), stdin=nothing, stdout=nothing, stderr=nothing
        )
        return True
    return False


def catch_up(runs: Path, enough: Callable[[], bool]) -> None:
    """Sends what is unsent until nothing is, or there was `enough`; removes from MLflow what was removed here.

    Returns at once if another process does so.
    """
    with locked(runs / ".sending", required=False) as alone:
        if not alone:
            return
        from harness.trackers.mlflow.removal import remove_pending
        from harness.trackers.mlflow.unsent import send_unsent, send_unsent_studies, unsent_runs, unsent_studies

        remove_pending()
        before: set[Path] = set()
        while not enough():
            left = {folder.path for folder in unsent_runs(runs)} | {folder.path for folder in unsent_studies(runs)}
            if left <= before:  # what is left was tried
                return
            send_unsent(runs, enough)
            send_unsent_studies(runs, enough)
            before |= left


if __name__ == "__main__":
    deadline = time.monotonic() + MOST_SECONDS
    catch_up(Path(sys.argv[1]), lambda: time.monotonic() > deadline)
