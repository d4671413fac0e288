"""Decides which model of a run MLflow gets, and sends it. Imports torch only if MLflow lacks the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.runs.record_parts import FoldRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.conversion import LEFT_OUT
from harness.trackers.mlflow.experiments import FILE_TAG, MODEL_TAG, RUN_TAG, models_of
from harness.trackers.mlflow.place import are_gone
from harness.trackers.mlflow.removal import remove_earlier_models
from harness.util.files import file_md5

Function = Callable[[str], Callable[[int], Any]]  # finds a user's function by its name


def send_model(client: Any, uri: str, run_id: str, folder: RunFolder, function: Function | None) -> str | None:
    """Sends the model to use, if MLflow lacks it. A refit replaces a fold's model.

    A model that cannot be exported is sent as its checkpoint.

    Returns:
        Why the model is left out; an empty string if it was sent; None if MLflow has it or if the run has no model.
    """
    model = folder.model_to_use()
    run = client.get_run(run_id)
    tags = run.data.tags
    before = tags.get(MODEL_TAG)
    if model is None:
        return None
    path = folder.checkpoint_of(model)
    md5 = file_md5(path) if path.is_file() else ""
    name = f"fold {model.fold}" if isinstance(model, FoldRecord) else "refit"
    is_new = before is None or (name == "refit" and not before.endswith("refit"))
    is_new = is_new or (str(before).startswith("fold ") and before != name)  # the run continued: another fold is better
    is_new = is_new or (before == name and md5 not in ("", tags.get(FILE_TAG, md5)))  # refitted again
    is_new = is_new or (before == name and _is_unusable(client, uri, run))
    if not is_new and not (function is not None and str(before).startswith(LEFT_OUT)):
        return None
    from harness.trackers.mlflow.model import log_model  # imports torch

    problem = log_model(uri, run_id, folder, model, function)
    if problem and is_new and md5:
        _send_checkpoint(client, run_id, path)
    elif not problem:
        remove_earlier_models(uri, run_id)
    client.set_tag(run_id, MODEL_TAG, f"{problem}; refit" if problem and name == "refit" else problem or name)
    client.set_tag(run_id, FILE_TAG, md5)
    return problem


def _is_unusable(client: Any, uri: str, run: Any) -> bool:
    """Whether a run's logged model does not take images (an earlier version logged it), or has lost its files."""
    models = models_of(client, run)
    return bool(models) and (RUN_TAG not in models[-1].tags or are_gone(uri, models[-1].artifact_location))


def _send_checkpoint(client: Any, run_id: str, path: Path) -> None:
    """Sends a checkpoint as one file, which includes the weights that folds share."""
    from harness.engine.checkpoint import whole

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(whole(path))
        client.log_artifact(run_id, str(copy), "checkpoints")
