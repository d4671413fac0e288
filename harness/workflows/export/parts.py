"""Makes the description and the content of an exported file."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from harness.errors import ModelError
from harness.models.export_record import FORMAT, ArrayRecord, ExportRecord
from harness.models.portable import Portable
from harness.models.saved import SavedModel
from harness.workflows.export import bare_weights, onnx_file, torch_program
from harness.workflows.export.origin import origin_of
from harness.workflows.find_model import FoundModel


def new_record(found: FoundModel, to: str) -> ExportRecord:
    """Makes the description of an exported model."""
    saved, fields = found.saved, found.saved.transform.to_dict()
    channels, height, width = saved.transform.shape
    colours = "RGB" if channels == 3 else "grey"
    count = len(saved.classes)
    if to in ("onnx", "pt2"):
        meaning = f"{colours} images of {height} x {width} pixels, values from 0 to 255, not normalised"
        inputs = [ArrayRecord("images", "uint8", ["batch", height, width, channels], meaning)]
        outputs = [
            ArrayRecord("logits", "float32", ["batch", count], "one for each class, in the order of classes"),
            ArrayRecord("probabilities", "float32", ["batch", count], "softmax(logits / temperature): calibrated"),
        ]
    else:
        meaning = f"{colours} images of {height} x {width} pixels, normalised per channel: (values / 255 - mean) / std"
        inputs = [ArrayRecord("images", "float32", ["batch", channels, height, width], meaning)]
        outputs = [ArrayRecord("logits", "float32", ["batch", count], "softmax(logits / temperature) is calibrated")]
    return ExportRecord(
        format=FORMAT,
        kind=to,  # type: ignore[arg-type]
        architecture=saved.architecture,
        classes=list(saved.classes),
        inputs=inputs,
        outputs=outputs,
        transform=fields,  # type: ignore[arg-type]
        normalisation_inside=to in ("onnx", "pt2"),
        resize_inside=False,
        temperature=saved.temperature,
        origin=origin_of(found),
    )


def any_size(record: ExportRecord) -> ExportRecord:
    """The description of a file that takes images of any size and resizes them."""
    takes = record.inputs[0]
    channels = takes.shape[3]
    colours = "RGB" if channels == 3 else "grey"
    meaning = f"{colours} images of any size (one size per batch), values from 0 to 255, not normalised"
    changed = ArrayRecord(takes.name, takes.dtype, ["batch", "height", "width", channels], meaning)
    return replace(record, inputs=[changed], resize_inside=True)


def make_content(saved: SavedModel, record: ExportRecord) -> bytes:
    """Makes the content of a file in the format of the record. Raises ModelError if the model cannot be exported."""
    if record.kind in ("state_dict", "safetensors"):
        return bare_weights.weights_content(saved.model, record)
    if record.kind == "onnx":
        _require_dtype(saved)
    program = torch_program.program_of(Portable(saved), saved.transform.shape, saved.architecture)
    if record.kind == "pt2":
        return torch_program.program_content(program, record)
    return onnx_file.onnx_content(onnx_file.onnx_model(program, record), saved.architecture)


def _require_dtype(saved: SavedModel) -> None:
    """Raises ModelError if onnxruntime does not support the dtype of the parameters."""
    if any(value.dtype == torch.bfloat16 for value in saved.model.state_dict().values() if isinstance(value, Tensor)):
        raise ModelError(
            f"{saved.architecture} cannot be exported to ONNX",
            "its parameters are bfloat16, which onnxruntime does not support",
            "return model.float() from its function; or --to pt2",
        )
