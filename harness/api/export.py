"""`harness.export`: an export in Python, the same as the command."""

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


@torch.random.fork_rng(devices=())  # the numbers that a notebook draws are the same before and after
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
    """Writes a model to one file that other programs run, as `harness export` does.

    Args:
        model: "champion", a run, a checkpoint, or what `run` or `load_model` returned. None is the
            champion, or the latest finished run.
        to: "onnx", "pt2", "state_dict" or "safetensors".
        out: The file; None is the experiment's name in the current folder.
        with_preprocessing: Of ONNX: whether the file itself resizes images of any size.
        int8: Of ONNX: whether weights and activations become 8-bit integers.
        data: Images to compare on, and with `int8` to test on.
        force: Whether to replace a file that is there.
        classes: Of a bare state dict: see `load_model`, as for the next three.
        architecture: Its model's name.
        image_size: Pixels.
        weights_key: Which part of the file to take.
        trust: Whether an experiment's file that came with a run from elsewhere may be run.
        runs: The folder that run folders lie in.

    Returns:
        The file that was written, and how it agrees with the model.

    Raises:
        HarnessError: What the command ends with; see `harness.workflows.export.write.export`.
    """
    found = find_model(
        text_of(model),
        Path(runs),
        trust=trust,
        classes=classes,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    return export_model(
        found,
        to,
        out,
        with_preprocessing=with_preprocessing,
        int8=int8,
        data=data,
        force=force,
        trust=trust,
    )
