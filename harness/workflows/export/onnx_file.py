"""Writes ONNX files from a program of torch.export, and opens untrusted ones with onnxruntime."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import ModelError, UsageError
from harness.models.export_record import ExportRecord
from harness.util.packages import install_command
from harness.version import __version__
from harness.workflows.export.torch_program import first_line, quietly

PREPARED = "prepared"  # name of the tensor of resized images, in a file that resizes
LOGITS, PROBABILITIES = "logits", "probabilities"
LARGEST = 2**31 - 2**20  # bytes; the limit of protobuf for one file
Arrays = NDArray[Any]
Session = Callable[[Arrays], tuple[Arrays, Arrays]]  # (B, H, W, C) uint8 -> logits, probabilities
WRITING, RUNNING = ("onnx", "onnxscript", "onnxruntime"), ("onnx", "onnxruntime")


def require_packages(names: tuple[str, ...] = WRITING) -> None:
    """Raises UsageError unless the packages of the extra "onnx" are installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                f"ONNX needs {name}", f"it cannot be imported: {error}", install_command("onnx")
            ) from error


def onnx_model(program: Any, record: ExportRecord) -> Any:
    """The ModelProto of a program, with the record in its metadata. Raises ModelError if ONNX lacks an operator."""
    try:
        with quietly():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[record.inputs[0].name],
                output_names=[LOGITS, PROBABILITIES],
            )
            assert exported is not None
            model = exported.model_proto
    except Exception as error:  # the exporter may raise anything
        raise ModelError(
            f"{record.architecture} cannot be exported to ONNX", first_line(error), "harness export MODEL --to pt2"
        ) from error
    _name_batch(model)
    for node in _messages(model, "NodeProto"):
        del node.metadata_props[:]  # they contain paths of source code on this machine
    model.producer_name, model.producer_version = "harness", __version__
    describe(model, record)
    return model


def describe(model: Any, record: ExportRecord) -> None:
    """Replaces the metadata of a ModelProto by the record."""
    del model.metadata_props[:]
    for name, text in record.in_metadata().items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text


def onnx_content(model: Any, named: str) -> bytes:
    """The content of the file. Raises ModelError if it is too large."""
    if model.ByteSize() > LARGEST:
        raise ModelError(f"{named} is too large for an ONNX file", "the limit is 2 GB", "--to pt2")
    content: bytes = model.SerializeToString()
    return content


def read_onnx(content: bytes, named: str) -> Any:
    """The ModelProto in a file. Raises ModelError if it is damaged, or reads weights from other files."""
    onnx: Any = importlib.import_module("onnx")
    try:
        model = onnx.load_model_from_string(content)
        outside = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _messages(model, "TensorProto"))
        if not outside:
            onnx.checker.check_model(content)
    except Exception as error:  # protobuf and the checker have their own exceptions
        raise ModelError(
            f"{named} cannot be read", f"damaged: {first_line(error)}", "export the model again"
        ) from error
    if outside:
        raise ModelError(
            f"{named} is not loaded",
            "it reads weights from other files, which may be anywhere on the disk",
            "name an ONNX file that contains all its weights",
        )
    return model


def metadata_of(model: Any) -> dict[str, str]:
    """The metadata of a ModelProto."""
    return {entry.key: entry.value for entry in model.metadata_props}


def open_onnx(content: bytes, named: str, record: ExportRecord, whole: bool = False) -> Session:
    """A session of onnxruntime on this machine's CPU, with the same number of threads as torch.

    It takes images that are already resized, even if the file can resize them, unless `whole` is set.

    Raises:
        ModelError: onnxruntime refuses the model, or its inputs or outputs are not what the record says.
    """
    model = read_onnx(content, named)
    part = record.resize_inside and not whole
    opened = session(_after(model, PREPARED, named).SerializeToString() if part else content, named)
    channels, height, width = record.prepared.shape
    takes, gives = opened.get_inputs(), [output.name for output in opened.get_outputs()]
    sizes = [None, None] if whole and record.resize_inside else [height, width]
    found = [(each.type, [size if isinstance(size, int) else None for size in each.shape]) for each in takes]
    if found != [("tensor(uint8)", [None, *sizes, channels])] or gives != [LOGITS, PROBABILITIES]:
        raise ModelError(
            f"{named} does not match its description",
            f"it takes {', '.join(f'{kind} {shape}' for kind, shape in found)[:200]} and returns {gives}"[:400],
            "export the model again",
        )

    def run(images: Arrays) -> tuple[Arrays, Arrays]:
        try:
            logits, probabilities = opened.run(gives, {takes[0].name: images})
        except Exception as error:  # onnxruntime has its own
            raise ModelError(f"{named} cannot be run", first_line(error), "export the model again") from error
        return logits, probabilities

    logits, probabilities = run(np.zeros((1, height, width, channels), np.uint8))
    if logits.shape != (1, len(record.classes)) or probabilities.shape != logits.shape:
        raise ModelError(
            f"{named} does not match its description",
            f"it returns logits of shape {list(logits.shape)}, but its description has {len(record.classes)} classes",
            "export the model again",
        )
    return run


def session(content: bytes, named: str) -> Any:
    """An InferenceSession on the CPU that prints nothing. Raises ModelError if onnxruntime refuses the model."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it raises if it fails
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own
        raise ModelError(f"{named} cannot be loaded", first_line(error), "export the model again") from error


def _after(model: Any, tensor: str, named: str) -> Any:
    """The part of a model that starts at `tensor`."""
    utilities: Any = importlib.import_module("onnx.utils")
    try:
        return utilities.Extractor(model).extract_model([tensor], [LOGITS, PROBABILITIES])
    except Exception as error:
        raise ModelError(f"{named} cannot be read", f"it has no {tensor!r} images", "export the model again") from error


def _name_batch(model: Any) -> None:
    """Names the batch dimension "batch" everywhere, because the exporter gives it a number."""
    symbol = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for dimension in _messages(model, "Dimension") if symbol else ():
        if dimension.dim_param == symbol:
            dimension.dim_param = "batch"


def _messages(message: Any, kind: str) -> Iterator[Any]:
    """Each part of that kind, at any depth."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        if current.DESCRIPTOR.name == kind:
            yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                # the type of a list differs between versions of protobuf
                waiting.extend([value] if hasattr(value, "ListFields") else value)
