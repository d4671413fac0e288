"""Loads an exported file again: classes, transform, and the probabilities of images."""

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
        record: What it says of itself, checked.
        transform: How a picture becomes an input; `transform.preparation.decode` gives one image.
    """

    path: Path
    record: ExportRecord
    transform: Transform
    run: Run = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities' columns."""
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
                f"{self.path} takes other images",
                f"it takes uint8 {wanted}, not {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}",
                "images as model.transform.preparation.decode makes them",
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
    """Whether `load_exported` is what loads this file: an ONNX or `.pt2` file, or weights with their `.json` beside."""
    return path.suffix.lower() in (SUFFIXES["onnx"], SUFFIXES["pt2"]) or json_beside(path).is_file()


def load_exported(
    path: Path | str, *, trust: bool = False, function: bare_weights.Function | None = None
) -> ExportedModel:
    """Loads a file that `harness export` wrote, in its own runtime, on the CPU.

    The result has `classes` (names), `transform` (how a picture becomes an input) and `probabilities(images)`: a uint8
    tensor (B, C, H, W) -> an array (B, classes) of float64.

    No code in the file is run. A `.pt2` file could hold some, so one that was not made in this project is refused. The
    `.json` beside the file has its SHA-256: a file that was changed is refused.

    Args:
        path: A file of one of the four formats. Weights alone need the `.json` beside them.
        trust: Whether to load a `.pt2` file from elsewhere.
        function: Finds the user's function that made a model of weights alone, as `load_model` takes it.

    Raises:
        ModelError: The file is missing, damaged, was changed, or is of another program.
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
    """As `load_exported`, of a file whose content and record are known. Weights alone are read from `path`."""
    run: Any
    if record.kind == "onnx":
        session = onnx_file.open_onnx(content, path.name, record)

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session(channels_last_arrays(images).numpy())[0])
    elif record.kind == "pt2":
        if not trust and not made_export(hashlib.sha256(content).hexdigest()):
            raise UntrustedError(
                f"{path} is not loaded",
                "nothing shows that it was made in this project, and loading a .pt2 file can run code",
                "--trust if you trust the person who made it; or an ONNX file, which holds no code",
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
    """The file's bytes. Raises ModelError if it is no file that can be read."""
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} cannot be read", "it is a folder, a pipe or a device", "name an exported file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} is not there", f"looked in {path.parent.absolute()}", "harness export") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read", str(error.strerror), "name an exported file") from error


def _record(path: Path, content: bytes) -> ExportRecord:
    """The record of a file: what its metadata and the `.json` beside it say, which must be the same."""
    beside = json_beside(path)
    inside = _said_inside(path, content)
    said = None
    if beside.is_file():
        try:
            said = record_from(read_text(beside))
        except (SchemaError, OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{beside} cannot be read", f"damaged: {error}", "export the model again") from error
        if said.sha256 is not None and said.sha256 != hashlib.sha256(content).hexdigest():
            raise ModelError(
                f"{path} was changed after its export",
                f"its SHA-256 is not the one in {beside.name}",
                "export the model again; or take both files from where they came from",
            )
    if inside is not None and said is not None and replace(said, sha256=None) != inside:
        raise ModelError(
            f"{beside} is not about {path.name}",
            f"the metadata in {path.name} say something else",
            f"rm {beside}, if {path.name} is what you want; or export the model again",
        )
    record = said or inside
    if record is None:
        raise ModelError(
            f"{path} does not say its classes",
            f"it has no metadata of harness, and {beside.name} is not beside it",
            "a file that harness export wrote; for weights of another program --classes and --model",
        )
    if path.suffix.lower() in (".onnx", ".pt2") and SUFFIXES[record.kind] != path.suffix.lower():
        raise ModelError(f"{beside} is not about {path.name}", f"it is about {record.kind}", "export the model again")
    return record


def _said_inside(path: Path, content: bytes) -> ExportRecord | None:
    """The record in the file's metadata; None if there is none. Raises ModelError if it is no whole record."""
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
