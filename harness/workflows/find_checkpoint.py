"""Finds the file of a model that a person names."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.runs.find import find_run
from harness.util.files import is_file


def find_checkpoint(named: str, runs: Path) -> Path:
    """The checkpoint that `named` means: a file, or a run's model on all images, else its best fold's.

    Raises UsageError if there is none.
    """
    if is_file(named):
        return Path(named)
    folder = find_run(named, runs)
    model = folder.model_to_use()
    if model is None:
        why = "it is itself a test" if folder.is_test else "none of its folds has ended"
        raise UsageError(f"{folder.path} has no model to test", why, "harness list shows the latest runs")
    path = folder.checkpoint_of(model)
    if not path.is_file():
        removed = folder.record.models_removed
        why = f"{path} is not there" if removed is None else f"harness runs has removed it at {removed[:16]}"
        raise UsageError(f"the model of {folder.path} is gone", why, "harness refit trains one; or harness list")
    return path
