"""Makes programs of torch.export: the graph of a model with any batch size, for a `.pt2` file or ONNX."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from harness.errors import ModelError
from harness.models.export_record import METADATA, ExportRecord
from harness.models.portable import Portable

LARGEST_BATCH = 1 << 16
METADATA_FILE = f"{METADATA}.json"  # in the archive
LARGEST_METADATA = 64 * 2**20  # bytes


def program_of(portable: Portable, shape: tuple[int, int, int], named: str) -> Any:
    """The exported program of a model: (B, H, W, C) uint8 images to logits and probabilities, with any B.

    It contains no paths of source code on this machine.

    Args:
        portable: The model.
        shape: (C, H, W) of an image.
        named: The model's name, for errors.

    Raises:
        ModelError: The model cannot be exported, or accepts only one batch size.
    """
    channels, height, width = shape
    images = torch.zeros(3, height, width, channels, dtype=torch.uint8)
    sizes = {"images": {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}}
    try:
        with quietly(), torch.no_grad():
            program = torch.export.export(portable, (images,), dynamic_shapes=sizes)
    except Exception as error:  # the exporter and the model's code may raise anything
        raise _not_exported(named, error) from error
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def program_content(program: Any, record: ExportRecord) -> bytes:
    """The `.pt2` file of a program, with the record in its archive."""
    buffer = io.BytesIO()
    extra = {METADATA_FILE: json.dumps(record.to_plain())}
    with quietly():
        torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def program_metadata(content: bytes) -> str:
    """The text of the record in a `.pt2` file; empty if there is none. Runs no code."""
    damaged = (zipfile.BadZipFile, zlib.error, KeyError, OSError, ValueError, NotImplementedError, EOFError)
    with contextlib.suppress(*damaged), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for part in archive.infolist():
            if part.filename.endswith(f"/extra/{METADATA_FILE}") and part.file_size <= LARGEST_METADATA:
                return archive.read(part).decode("utf-8", "replace")
    return ""


def program_module(content: bytes, named: str) -> nn.Module:
    """The module in a `.pt2` file, from (B, H, W, C) uint8 images to logits and probabilities.

    Loading it can run code: call this only for a file that was made here, or that a person trusts. Raises ModelError
    if it is damaged.
    """
    try:
        with quietly():
            module: nn.Module = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:  # torch raises anything for a damaged archive
        raise ModelError(
            f"{named} cannot be read", f"damaged: {first_line(error)}", "export the model again"
        ) from error
    return module


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppresses warnings and logs of exporters, because they raise if they fail."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: BaseException) -> str:
    """The first line of a message that is not empty, without terminal colours."""
    lines = (line.strip(" -*") for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def _not_exported(named: str, error: Exception) -> ModelError:
    """The error for a model that torch.export refuses."""
    text, line = str(error), first_line(error)
    if "batch" in text and any(word in text for word in ("specialized", "Constraints violated", "not an int")):
        return ModelError(
            f"{named} cannot be exported for batches of any size",
            "its forward pass fixes the batch size, for example by x.view(32, -1), len(x) or a buffer of that size",
            "use x.flatten(1), or x.shape[0] instead of len(x)",
        )
    if any(word in text for word in ("data-dependent", "data dependent", "Could not guard")):
        return ModelError(
            f"{named} cannot be exported",
            f"its forward pass depends on the values of its input: {line}",
            "use torch.where instead of an if on tensor values; or --to state_dict, which needs the code",
        )
    return ModelError(
        f"{named} cannot be exported",
        f"torch.export cannot follow its forward pass: {type(error).__name__}: {line}",
        "use plain tensor operations in its forward pass; or --to state_dict, which needs the code",
    )
