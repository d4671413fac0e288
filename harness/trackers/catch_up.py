"""The process that sends earlier runs and studies that MLflow lacks: `python -m harness.trackers.catch_up RUNS`.

The process that follows a run starts it, or `harness ui` does. Nobody waits for it: it outlives the process that
started it, and ends after a few minutes at the latest. It records and prints what it cannot send. The next such process
tries that again.
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

MOST_SECONDS = 300.0  # after this time, it starts to send no other run


def start_catching_up(runs: Path, tell: Callable[[str], None] | None = None, left: Sequence[Any] | None = None) -> int:
    """Starts the process if a run or a study under `runs` is unsent, or if MLflow has one that was removed here.

    Args:
        runs: The folder of all runs.
        tell: Called, in a thread, with each line that the process prints.
        left: The result of `waiting`, if the caller has it already.

    Returns:
        The number of runs and studies that the process will send.
    """
    from harness.runs.pending_removals import has_pending
    from harness.trackers.mlflow.unsent import waiting

    count = len(waiting(runs) if left is None else left)
    if not count and not has_pending():
        return 0
    command, nothing = python_module("harness.trackers.catch_up", str(runs)), subprocess.DEVNULL
    output = nothing if tell is None else subprocess.PIPE
    try:  # in a new session, which Ctrl-C does not reach
        process = subprocess.Popen(
            command, stdin=nothing, stdout=output, stderr=nothing, start_new_session=os.name == "posix"
        )
    except OSError:
        return 0
    if tell is not None and process.stdout is not None:
        threading.Thread(target=_pass_on, args=(process.stdout, tell), daemon=True).start()
    return count


def catch_up(runs: Path, enough: Callable[[], bool]) -> list[str]:
    """Sends unsent runs and studies until none is left or `enough` returns True.

    Also removes from MLflow what was removed here. Does nothing if another process is doing this.

    Returns:
        One line for each run or study that could not be sent.
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
            if left <= before:  # all of these have been tried
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
    out, sys.stdout = sys.stdout, sys.stderr  # what MLflow prints is not for the user
    deadline = time.monotonic() + MOST_SECONDS
    problems = catch_up(runs, lambda: time.monotonic() > deadline)
    with contextlib.suppress(OSError):  # the reader may have ended
        for problem in problems:
            print(terminal(f"warning: {' '.join(problem.split())}"), file=out)
        if not problems:
            print("MLflow has all earlier runs now", file=out)
        out.flush()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
