"""Trains the model to use: one fit on all images of a run, after its cross-validation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.errors import HarnessError, UsageError
from harness.runs.record_parts import RefitRecord, Status
from harness.runs.run_folder import RunFolder
from harness.training.refit import refit
from harness.util.console import print_line
from harness.util.console_log import keep_output_in
from harness.util.files import require_writable
from harness.util.locks import lock_of
from harness.workflows.reproduce import planned


def refit_run(folder: RunFolder, *, device: str = "auto", trusted: bool = False) -> RefitRecord:
    """Trains the model of a run that has finished, from the experiment and the images that the run had.

    If another process trains it at this moment, waits for it and returns its model. An experiment file from another
    project is run only if it is `trusted`.

    Raises:
        UsageError: The run has not finished, is a test, or its experiment cannot be restored.
        DataError: The images differ from those of the run.
        HarnessError: Any other problem with a known cause.
    """
    _require_finished(folder)
    require_writable(folder.path)
    with refitting(folder) as made:
        return made or refit(planned(folder, device, trusted), folder)


@contextlib.contextmanager
def refitting(folder: RunFolder) -> Iterator[RefitRecord | None]:
    """Locks the run, so that no other process refits it. Yields another process's model if this one waited for it.

    Raises UsageError if another process resumes or removes the run.
    """
    waited: list[str] = []

    def tell(who: str) -> None:
        waited.append(who)
        print_line(f"waiting for {who}, which trains this model")

    with (
        lock_of(folder.path / ".refitting", wait=True, tell=tell, required=False),
        lock_of(folder.path / ".resuming", required=False) as is_alone,  # so that others see that the run is running
    ):
        if not is_alone:
            raise UsageError(
                f"{folder.path} is in use", "another process resumes or removes it", "wait until that process ends"
            )
        folder.reload()
        keep_output_in(folder.path)
        yield folder.model_on_all_images() if waited else None


def _require_finished(folder: RunFolder) -> None:
    """Raises UsageError for a run that has not finished."""
    record = folder.record
    if folder.status is not Status.FINISHED or not record.folds:
        why = f"its status is {folder.status}" if record.folds else "none of its folds has ended"
        raise UsageError(
            f"{folder.path} cannot be refitted", why, "harness run EXPERIMENT, or name a run that has finished"
        )


@contextlib.contextmanager
def or_without_refit(option: str) -> Iterator[None]:
    """Adds to the error of a refit that `option` avoids the refit."""
    try:
        yield
    except HarnessError as error:
        error.fix = f"{error.fix}; or {option}, for the best fold's model"
        raise
