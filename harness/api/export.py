"""`harness.export`: exports a model in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.api.model import text_of
from harness.workflows.export.write import Exported
from harness.workflows.export.write import export as export_model
from harness.workflows.find_model import find_model

if TYPE_CHECKING:
    from harness.api.model import Model
    from harness.api.result import Run


@torch.random.fork_rng(devices=())  # the caller's random numbers stay the same
def export(
    model: str | Path | Run | Model | None,
    to: str,
    out: str | Path | None = None,
    *,
    with_preprocessing: bool = False,
    int8: bool = False,
    data: str | Path | None = None,
    force: bool = False,
    classes: Sequence[str] | None = None,
    architecture: str | None = None,
    image_size: int | None = None,
    weights_key: str | None = None,
    trust: bool = False,
    runs: str | Path = "runs",
) -> Exported:
    """Writes a model to one file for other programs, as `harness export` does.

    The file is loaded again and its outputs are compared with those of the model.

    Args:
        model: "champion", a run, a checkpoint, or an object that `harness.run` or `harness.load_model` returned.
            None: the champion, or the latest finished run if there is no champion.
        to: The format: "onnx", "pt2", "state_dict" or "safetensors".
        out: The file to write. None: a file in the current folder, named after the experiment.
        with_preprocessing: For ONNX: the exported model resizes and normalises images of any size.
        int8: For ONNX: converts weights and activations to 8-bit integers.
        data: The images for the comparison. With `int8`, also the test images.
        force: Replace an existing file.
        classes: For a state dict without metadata: the class names, in the order of the outputs.
        architecture: For a state dict without metadata: the name of the model, such as "resnet18".
        image_size: For a state dict without metadata: the side of an image in pixels.
        weights_key: The part of the file to load, if several fit the model.
        trust: Run the experiment file of a run that was made elsewhere. It can contain any code.
        runs: The folder that contains the run folders.

    Returns:
        The file that was written, and how well its outputs agree with those of the model.

    Raises:
        UsageError: The format is unknown, a package is missing, or the file exists.
        ModelError: The model cannot be exported.
        GateError: The outputs of the file differ from those of the model, or int8 is significantly worse.
        DataError: `data` has no images of the model's classes, or the model was trained on the test images.
        StorageError: The file cannot be written.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> harness.export(run, "safetensors", "model.safetensors").path.name
        'model.safetensors'
    """
    found_model = find_model(
        text_of(model),
        Path(runs),
        trust=trust,
        classes=classes,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    return export_model(
        found_model,
        to,
        out,
        with_preprocessing=with_preprocessing,
        int8=int8,
        data=data,
        force=force,
        trust=trust,
    )
