"""Finds the checkpoint of the model that a command names."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from harness.errors import UsageError
from harness.runs.find import find_run
from harness.util.files import is_file


def find_checkpoint(named: str, runs: Path) -> Path:
    """Returns the checkpoint that `named` means: a file, or the model of a run.

    The model of a run is the one trained on all images, or the best fold's if there is none.

    Raises UsageError if there is none.
    """
    if is_file(named):
        return Path(named)
    folder = find_run(named, runs)
    model = folder.model_to_use()
    if model is None:
        why = "it is a test, not a training run" if folder.is_test else "none of its folds has ended"
        raise UsageError(f"{folder.path} has no model to test", why, "harness list, which shows the latest runs")
    path = folder.checkpoint_of(model)
    if not path.is_file():
        removed = folder.record.models_removed
        why = f"{path} does not exist" if removed is None else f"harness runs removed it at {removed[:16]}"
        raise UsageError(
            f"the model of {folder.path} is missing",
            why,
            f"harness refit {quote(folder.typed)}, which trains one; or harness list",
        )
    return path
