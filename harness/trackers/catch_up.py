"""The process that sends what earlier runs and studies left unsent: `python -m harness.trackers.catch_up RUNS`.

Nobody waits for it: it is started by the process that follows a run, or by `harness ui`, goes on when that has ended,
and ends after some minutes at the latest. What it cannot send it records and prints, and the next one tries.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from harness.util.escape import terminal
from harness.util.locks import locked
from harness.util.processes import python_module

MOST_SECONDS = 300.0  # after which no other run is begun


def start_catching_up(runs: Path, tell: Callable[[str], None] | None = None, left: Sequence[Any] | None = None) -> int:
    """Starts the process if a run or a study under `runs` is unsent, or MLflow has one that was removed here.

    Args:
        runs: The folder of all runs.
        tell: Is called, in a thread, with each line that the process prints.
        left: What `waiting` has returned a moment ago, if it was called.

    Returns:
        The number of runs and studies that it sends.
    """
    from harness.runs.pending_removals import has_pending
    from harness.trackers.mlflow.unsent import waiting

    count = len(waiting(runs) if left is None else left)
    if not count and not has_pending():
        return 0
    command, nothing = python_module("harness.trackers.catch_up", str(runs)), subprocess.DEVNULL
    output = nothing if tell is None else subprocess.PIPE
    try:  # in its own session, where no Ctrl-C arrives
        process = subprocess.Popen(
            command, stdin=nothing, stdout=output, stderr=nothing, start_new_session=os.name == "posix"
        )
    except OSError:
        return 0
    if tell is not None and process.stdout is not None:
        threading.Thread(target=_pass_on, args=(process.stdout, tell), daemon=True).start()
    return count


def catch_up(runs: Path, enough: Callable[[], bool]) -> list[str]:
    """Sends what is unsent until nothing is, or there was `enough`; removes from MLflow what was removed here.

    Does nothing at all if another process does so.

    Returns what could not be sent, a line each.
    """
    problems: list[str] = []
    with locked(runs / ".sending", required=False) as alone:
        if not alone:
            return []
        from harness.trackers.mlflow.removal import remove_pending
        from harness.trackers.mlflow.unsent import send_unsent, send_unsent_studies, unsent_runs, unsent_studies

        remove_pending()
        before: set[Path] = set()
        while not enough():
            left = {folder.path for folder in unsent_runs(runs)} | {folder.path for folder in unsent_studies(runs)}
            if left <= before:  # what is left was tried
                break
            problems = send_unsent(runs, enough) + send_unsent_studies(runs, enough)
            before |= left
    return problems


def _pass_on(lines: IO[bytes], tell: Callable[[str], None]) -> None:
    with lines:
        for line in lines:
            tell(line.decode("utf-8", "replace").strip())


def _main(runs: Path) -> None:
    if hasattr(os, "nice"):
        os.nice(19)
    out, sys.stdout = sys.stdout, sys.stderr  # what MLflow prints is no word of ours
    deadline = time.monotonic() + MOST_SECONDS
    problems = catch_up(runs, lambda: time.monotonic() > deadline)
    with contextlib.suppress(OSError):  # nobody reads it any more
        for problem in problems:
            print(terminal(f"warning: {' '.join(problem.split())}"), file=out)
        if not problems:
            print("MLflow has all earlier runs now", file=out)
        out.flush()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
