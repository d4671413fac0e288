"""The saved state of the running fold, `checkpoints/unfinished.pt` in a run folder. The run can resume from it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.engine.callbacks import FitCheckpoint
from harness.engine.fit_file import read_fit
from harness.engine.fit_state import progress_of
from harness.errors import ModelError
from harness.runs.record_parts import ProgressRecord
from harness.runs.run_folder import RunFolder
from harness.runs.unfinished import next_beginning
from harness.util.console import print_line


@dataclass(frozen=True)
class SavedFit:
    """A fit that was interrupted.

    Attributes:
        state: For `Trainer.fit(..., resume=...)`.
        seconds: Time of the fit before the interruption.
    """

    state: Mapping[str, Any]
    seconds: float


def saved_fit(folder: RunFolder, fold: int) -> SavedFit | None:
    """Returns the saved state of a fold, or None if there is none. Prints a warning if it cannot be read."""
    if not folder.unfinished.is_file():
        return None
    try:
        content = read_fit(folder.unfinished)
    except ModelError as error:
        print_line(f"warning: the fold starts again: {error.what}: {error.why}")
        return None
    return SavedFit(content["fit"], content["seconds"]) if content["fold"] == fold else None


def saved_progress(folder: RunFolder) -> tuple[ProgressRecord | None, list[str]]:
    """Returns where an unfinished run resumes: at a saved state or the beginning of a fold; None if all have ended.

    Also returns the names of attributes that the state does not include.
    """
    beginning = next_beginning(folder)
    if folder.unfinished.is_file():
        with contextlib.suppress(ModelError):
            content = read_fit(folder.unfinished)
            if content["fold"] == (0 if beginning is None else beginning.fold):
                state = content["fit"]
                return ProgressRecord(content["fold"], *progress_of(state)), [str(name) for name in state["unsaved"]]
    return beginning, []


def fit_checkpoint(folder: RunFolder, fold: int, started: float) -> FitCheckpoint:
    """Returns the callback that saves the state of a fold, and writes its progress to the run's record.

    Args:
        folder: The run folder.
        fold: From 1; 0 is the refit.
        started: `time.perf_counter()` at the fold's start, minus the seconds before an interruption.
    """
    return FitCheckpoint(
        folder.unfinished,
        content=lambda: {"fold": fold, "seconds": time.perf_counter() - started},
        saved=lambda epoch, step: folder.update(progress=ProgressRecord(fold, epoch, step)),
    )
