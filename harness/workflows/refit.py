"""Trains the model to use: one fit on all images of a run that has been judged by cross-validation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.errors import HarnessError, UsageError
from harness.runs.record_parts import RefitRecord, Status
from harness.runs.run_folder import RunFolder
from harness.training.refit import refit
from harness.util.files import require_writable
from harness.util.locks import lock_of
from harness.workflows.reproduce import planned


def refit_run(folder: RunFolder, *, device: str = "auto", trusted: bool = False) -> RefitRecord:
    """Trains the model of a run that has finished, from the experiment and the images that the run had.

    The file of a run from elsewhere is run only if it is `trusted`.

    Raises:
        UsageError: The run has not finished, is a test, or its experiment cannot be had again.
        DataError: The images are others than those of the run.
        HarnessError: Anything else that has a name.
    """
    record = folder.record
    if folder.status is not Status.FINISHED or not record.folds:
        why = f"its status is {folder.status}" if record.folds else "none of its folds has ended"
        raise UsageError(f"{folder.path} cannot be refitted", why, "harness run again, or a run that has finished")
    require_writable(folder.path)
    with lock_of(folder.path / ".resuming") as is_alone:
        if not is_alone:
            raise UsageError(
                f"{folder.path} is in work", "another process refits it at this moment", "wait for its end"
            )
        return refit(planned(folder, device, trusted), folder)


@contextlib.contextmanager
def or_without_refit(option: str) -> Iterator[None]:
    """Adds to an error of a refit that `option` goes without it."""
    try:
        yield
    except HarnessError as error:
        error.fix = f"{error.fix}; or {option}, for the best fold's model"
        raise
