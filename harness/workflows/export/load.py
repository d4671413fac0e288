"""Loads an exported file, with its classes, its transform and the probabilities of images."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.transforms import Transform
from harness.errors import ModelError
from harness.evaluation.scores import Floats
from harness.models.export_record import METADATA, SUFFIXES, ExportRecord, json_beside, record_from
from harness.models.portable import channels_last_arrays
from harness.runs.exports import made_export
from harness.util.schema import SchemaError, read_text
from harness.workflows.experiment_copy import UntrustedError
from harness.workflows.export import bare_weights, onnx_file, torch_program

Run = Callable[[Tensor], Tensor]  # (B, C, H, W) uint8 -> (B, classes) logits


@dataclass(frozen=True)
class ExportedModel:
    """A model in an exported file.

    Attributes:
        path: The file.
        record: Its checked description.
        transform: How an image becomes an input; `transform.preparation.decode` returns one image.
    """

    path: Path
    record: ExportRecord
    transform: Transform
    run: Run = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return tuple(self.record.classes)

    @property
    def architecture(self) -> str:
        return self.record.architecture

    @property
    def temperature(self) -> float:
        return self.record.temperature

    def logits(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, classes) float32. Raises ModelError if the file cannot be run on them."""
        if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != self.transform.shape:
            wanted = f"(B, {', '.join(map(str, self.transform.shape))})"
            raise ModelError(
                f"{self.path} does not accept these images",
                f"it takes uint8 {wanted}, not {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}",
                "prepare the images with model.transform.preparation.decode",
            )
        with torch.inference_mode():
            return self.run(images.cpu())

    def probabilities(self, images: Tensor) -> Floats:
        """(B, C, H, W) uint8 images -> (B, classes) float64, calibrated by the temperature.

        The images are prepared as `transform.preparation` does, also if the file could resize them itself. Raises
        ModelError if the file cannot be run on them.
        """
        probabilities: Floats = (self.logits(images).double() / self.temperature).softmax(1).numpy()
        return probabilities


def is_exported(path: Path) -> bool:
    """Whether `load_exported` loads this file: an ONNX or `.pt2` file, or weights with a `.json` file beside them."""
    return path.suffix.lower() in (SUFFIXES["onnx"], SUFFIXES["pt2"]) or json_beside(path).is_file()


def load_exported(
    path: Path | str, *, trust: bool = False, function: bare_weights.Function | None = None
) -> ExportedModel:
    """Loads a file that `harness export` wrote, in the runtime of its format, on the CPU.

    The result has `classes` (names), `transform` (how an image becomes an input) and `probabilities(images)`: a uint8
    tensor (B, C, H, W) -> an array (B, classes) of float64.

    No code in the file is run. A `.pt2` file may contain code, so it is refused if it was not made in this project.
    The `.json` file beside it contains its SHA-256, so a changed file is refused.

    Args:
        path: A file of one of the four formats. A file of weights needs the `.json` file beside it.
        trust: Whether to load a `.pt2` file from another project.
        function: Returns the user's model function for a file of weights, as for `load_model`.

    Raises:
        ModelError: The file is missing, damaged or changed, or another program made it.
        UntrustedError: It is a `.pt2` file that was not made here.
        UsageError: A package is missing.
    """
    path = Path(path)
    content = read_content(path)
    record = _record(path, content)
    return open_exported(path, content, record, trust=trust, function=function)


def open_exported(
    path: Path,
    content: bytes,
    record: ExportRecord,
    *,
    trust: bool = False,
    function: bare_weights.Function | None = None,
) -> ExportedModel:
    """Like `load_exported`, for known content and record. Only weights are read from `path`."""
    run: Any
    if record.kind == "onnx":
        session = onnx_file.open_onnx(content, path.name, record)

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session(channels_last_arrays(images).numpy())[0])
    elif record.kind == "pt2":
        if not trust and not made_export(hashlib.sha256(content).hexdigest()):
            raise UntrustedError(
                f"{path} is not loaded",
                "it may come from another project, and loading a .pt2 file can run code",
                "--trust, if you trust the person who made it; or use an ONNX file, which contains no code",
            )
        module = torch_program.program_module(content, str(path))

        def run(images: Tensor) -> Tensor:
            logits: Tensor = module(channels_last_arrays(images))[0]
            return logits
    else:
        weights = bare_weights.module_with_weights(path, record, function)

        def run(images: Tensor) -> Tensor:
            logits: Tensor = weights(record.prepared.normalise(images)).float()
            return logits

    return ExportedModel(path, record, record.prepared, run)


def read_content(path: Path) -> bytes:
    """The content of a file. Raises ModelError if it cannot be read."""
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} cannot be read", "it is a folder, a pipe or a device", "name an exported file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} does not exist", f"looked in {path.parent.absolute()}", "harness export MODEL"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read", str(error.strerror), "name an exported file") from error


def _record(path: Path, content: bytes) -> ExportRecord:
    """The record of a file, from its metadata and from the `.json` file beside it, which must be equal."""
    beside = json_beside(path)
    inside = _record_inside(path, content)
    outside = None
    if beside.is_file():
        try:
            outside = record_from(read_text(beside))
        except (SchemaError, OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{beside} cannot be read", f"damaged: {error}", "export the model again") from error
        if outside.sha256 is not None and outside.sha256 != hashlib.sha256(content).hexdigest():
            raise ModelError(
                f"{path} was changed after its export",
                f"its SHA-256 is not the one in {beside.name}",
                "export the model again; or copy both files again from their source",
            )
    if inside is not None and outside is not None and replace(outside, sha256=None) != inside:
        raise ModelError(
            f"{beside} is not about {path.name}",
            f"the metadata in {path.name} differ from it",
            f"rm {beside}, if {path.name} is the right file; or export the model again",
        )
    record = outside or inside
    if record is None:
        raise ModelError(
            f"the classes of {path} are unknown",
            f"it has no metadata of harness, and {beside.name} is not beside it",
            "name a file that harness export wrote; or, for weights of another program, add --classes and --model",
        )
    if path.suffix.lower() in (".onnx", ".pt2") and SUFFIXES[record.kind] != path.suffix.lower():
        raise ModelError(f"{beside} is not about {path.name}", f"it is about {record.kind}", "export the model again")
    return record


def _record_inside(path: Path, content: bytes) -> ExportRecord | None:
    """The record in the metadata of the file; None if there is none. Raises ModelError if it is incomplete."""
    if path.suffix.lower() == SUFFIXES["onnx"]:
        onnx_file.require_packages(onnx_file.RUNNING)
        text = onnx_file.metadata_of(onnx_file.read_onnx(content, str(path))).get(METADATA, "")
    elif path.suffix.lower() == SUFFIXES["pt2"]:
        text = torch_program.program_metadata(content)
    else:
        text = ""
        with contextlib.suppress(AttributeError):
            text = str(bare_weights.weights_metadata(content).get(METADATA, ""))
    if not text:
        return None
    try:
        return record_from(text)
    except SchemaError as error:
        raise ModelError(f"{path} cannot be read", f"its metadata: {error}", "export the model again") from error
