"""Exports only the weights, as a torch state dict or a safetensors file, for other PyTorch programs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.config.object_text import without_module
from harness.engine import checkpoint
from harness.errors import ModelError
from harness.models.build import build
from harness.models.export_record import ExportRecord
from harness.models.portable import without_compiling

Function = Callable[[str], Callable[[int], Any]]


def weights_content(model: nn.Module, record: ExportRecord) -> bytes:
    """The file with the model's weights, under the names of its modules. Raises ModelError if one is not a tensor.

    A safetensors file has the record in its metadata. A state dict contains only tensors, as `load_state_dict` needs
    it.
    """
    state = without_compiling(model).state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise ModelError(
                f"{record.architecture} cannot be exported to {record.kind}",
                f"its state contains {name}, which is not a plain tensor",
                "--to onnx, or --to pt2",
            )
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    if record.kind == "safetensors":
        from safetensors.torch import save

        return save(copies, metadata=record.in_metadata())
    buffer = io.BytesIO()
    torch.save(copies, buffer)
    return buffer.getvalue()


def weights_metadata(content: bytes) -> dict[str, Any]:
    """The metadata in a safetensors file; none if it is another file."""
    import json

    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length]) if length < len(content) else {}
    except (ValueError, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def module_with_weights(path: Path, record: ExportRecord, function: Function | None = None) -> nn.Module:
    """Builds a module of the recorded architecture with the weights in the file, in eval mode.

    Raises:
        ModelError: The file is damaged, its weights belong to another model, or the model is a function of an
            experiment file that `function` does not find.
    """
    state = checkpoint.read(path)
    odd = next((str(name) for name, value in state.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise ModelError(f"{path} cannot be read", f"{odd[:80]} is not a tensor", "export the model again")
    own = ":" in record.architecture
    if own and function is None:
        raise ModelError(
            f"{path.name} needs its experiment file",
            f"it contains only weights, and its model is a function of that file "
            f"({without_module(record.architecture)})",
            "harness export MODEL --to onnx, which needs no code",
        )
    make = function(record.architecture) if own and function is not None else record.architecture
    shape = record.prepared.shape
    model = without_compiling(build(make, len(record.classes), shape))
    try:
        model.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"{path} does not contain a {record.architecture}", why[:300], "export the model again"
        ) from error
    if not all(bool(value.isfinite().all()) for value in model.state_dict().values() if value.is_floating_point()):
        raise ModelError(f"the weights in {path} are not all finite", "some are nan or inf", "export the model again")
    return model.eval()
