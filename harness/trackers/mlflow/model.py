"""A run's model in MLflow: exported, with its signature and an example."""

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
    """Logs a checkpoint of a run as its model: a fold's, or that on all images. Returns why it cannot be exported.

    A model that a user's function made is left out unless `function` finds that: no code of a run folder is run. It is
    a separate program (torch.export), so that loading it needs none of the user's code and runs no pickle. For
    `mlflow.pytorch` it takes normalised images (B, C, H, W) and gives logits (B, classes); for `mlflow.pyfunc` and for
    `mlflow models serve` it takes image files, and gives class names and probabilities: see `served.py`.
    """
    import mlflow
    from mlflow.models import Model

    mlflow.set_tracking_uri(uri)
    try:
        saved = load_model(folder.checkpoint_of(entry), function=function)
        flavor.require_exportable(saved.model, flavor.traced_input(saved.transform.shape))
    except HarnessError as error:
        return f"{LEFT_OUT}: {error.what}: {error.why} ({error.fix})"[:500]
    except Exception as error:  # the tracer meets any code there is
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
            validate_serving_input=False,  # it would load the model once more, to run it on the example
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
