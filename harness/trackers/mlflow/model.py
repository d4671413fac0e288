"""Logs a run's model to MLflow: exported, with its signature and an example."""

from __future__ import annotations

import warnings

from harness.errors import HarnessError
from harness.models.saved import load_model
from harness.runs.record_parts import FoldRecord, RefitRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow import flavor
from harness.trackers.mlflow.conversion import LEFT_OUT
from harness.trackers.mlflow.experiments import RUN_TAG
from harness.trackers.mlflow.send_model import Function


def log_model(
    uri: str, run_id: str, folder: RunFolder, entry: FoldRecord | RefitRecord, function: Function | None
) -> str:
    """Logs a checkpoint of a run as its model.

    The model is exported by `torch.export`, so loading it needs no code of the user and runs no pickle. With
    `mlflow.pytorch` it takes normalised images (B, C, H, W) and returns logits (B, classes). With `mlflow.pyfunc` and
    `mlflow models serve` it takes image files and returns class names and probabilities: see `served.py`.

    Args:
        uri: The store's address.
        run_id: The id of the run there.
        folder: The run folder.
        entry: Whose checkpoint: a fold's, or that of the refit on all images.
        function: Finds a user's function that made the model. Without it such a model is left out, because code in a
            run folder is never run.

    Returns:
        Why the model cannot be exported; an empty string if it was logged.
    """
    import mlflow
    from mlflow.models import Model

    mlflow.set_tracking_uri(uri)
    try:
        saved = load_model(folder.checkpoint_of(entry), function=function)
        flavor.require_exportable(saved.model, flavor.traced_input(saved.transform.shape))
    except HarnessError as error:
        return f"{LEFT_OUT}: {error.what}: {error.why} ({error.fix})"[:500]
    except Exception as error:  # the tracer runs the user's code, which may raise anything
        first = (str(error).splitlines() or [""])[0]
        return f"not exported: {type(error).__name__}: {first}"[:500]
    fold = entry.fold if isinstance(entry, FoldRecord) else None
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.simplefilter("ignore")
        Model.log(
            None,
            flavor,
            name="model",
            tags={RUN_TAG: folder.id},
            module=saved.model,
            shape=saved.transform.shape,
            validate_serving_input=False,  # the check would load the model again and run it on the example
            metadata={
                "classes": list(saved.classes),
                "transform": saved.transform.to_dict(),
                "fold": fold,
                "epoch": entry.epoch,
                "accuracy": entry.accuracy if isinstance(entry, FoldRecord) else folder.record.accuracy,
                "temperature": saved.temperature,
            },
        )
    return ""
