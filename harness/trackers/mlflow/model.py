"""A run's model in MLflow: exported, with its signature and an example."""

from __future__ import annotations

import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from harness.data.images import file_of
from harness.errors import HarnessError
from harness.models.saved import SavedModel, load_model
from harness.runs.record_parts import FoldRecord, RefitRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.conversion import LEFT_OUT
from harness.trackers.mlflow.send_model import Function


def log_model(
    uri: str, run_id: str, folder: RunFolder, entry: FoldRecord | RefitRecord, function: Function | None
) -> str:
    """Logs a checkpoint of a run as its model: a fold's, or that on all images. Returns why it cannot be exported.

    A model that a user's function made is left out unless `function` finds that: no code of a run folder is run. It is
    a program of its own (torch.export), so that loading it needs none of our code and runs no pickle. It takes
    normalised images (B, C, H, W) and gives logits (B, classes).
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        saved = load_model(folder.checkpoint_of(entry), function=function)
        fold = entry.fold if isinstance(entry, FoldRecord) else None
        example = _example(folder, saved, fold)
        with torch.inference_mode():
            signature = mlflow.models.infer_signature(example.numpy(), saved.model(example).numpy())
        torch.export.export(saved.model, (example,), strict=False)
    except HarnessError as error:
        return f"{LEFT_OUT}: {error.what}: {error.why} ({error.fix})"[:500]
    except Exception as error:  # the tracer meets any code there is
        first = (str(error).splitlines() or [""])[0]
        return f"not exported: {type(error).__name__}: {first}"[:500]
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.simplefilter("ignore")
        mlflow.pytorch.log_model(
            saved.model,
            name="model",
            input_example=example.numpy(),
            signature=signature,
            serialization_format="pt2",
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in ("torch", "torchvision", "numpy")],
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


def _example(folder: RunFolder, saved: SavedModel, fold: int | None) -> torch.Tensor:
    """Two images of the run, or of the fold's validation, as the model takes them: (2, C, H, W). Any number may follow.

    Rounded, since MLflow writes each number as text; where the images are gone, or not this project's, noise.
    """
    preparation = saved.transform.preparation
    root = Path(folder.record.data.folder)
    try:
        if not folder.was_made_here:
            raise FileNotFoundError
        paths = [file_of(root, path) for path in folder.predictions(fold).paths]
        squares = [preparation.decode(path.read_bytes()) for path in (paths[0], paths[-1])]
        images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    except Exception:
        images = torch.randint(0, 256, (2, *preparation.shape), dtype=torch.uint8)
    return saved.transform.normalise(images).round(decimals=2)
