"""Writes a model to one file that other programs run, once that file has been loaded again and compared with it."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from torch import Tensor

from harness.errors import UsageError, nearest, storage_errors
from harness.models.export_record import (
    FORMAT,
    SUFFIXES,
    ArrayRecord,
    ExportRecord,
    json_beside,
)
from harness.models.portable import Portable
from harness.models.saved import SavedModel
from harness.runs.exports import remember_export
from harness.runs.record_file import to_json
from harness.util.files import require_writable, write_whole
from harness.workflows import export_onnx, export_program, export_weights
from harness.workflows.experiment_copy import model_function
from harness.workflows.export_check import Agreement, check_export, model_logits
from harness.workflows.export_images import Sample, sample_images
from harness.workflows.export_origin import origin_of
from harness.workflows.exported_file import open_exported
from harness.workflows.find_model import FoundModel


@dataclass(frozen=True)
class Exported:
    """An exported file that was written, and how it compares with its model.

    Attributes:
        path: The file.
        json_path: The description beside it.
        format: "onnx", "pt2", "state_dict" or "safetensors".
        bytes: Its size.
        agreement: With the model, in the file's own runtime, on images that are resized as for the model.
        record: The description.
    """

    path: Path
    json_path: Path
    format: str
    bytes: int
    agreement: Agreement
    record: ExportRecord


def export(
    found: FoundModel,
    to: str,
    out: Path | str | None = None,
    *,
    data: Path | str | None = None,
    force: bool = False,
    trust: bool = False,
) -> Exported:
    """Writes a model to one file that takes batches of any size, with a `.json` beside it that describes it.

    The file is loaded again in its own runtime and compared with the model on 64 images, before it is written.

    Args:
        found: The model.
        to: "onnx", "pt2", "state_dict" or "safetensors".
        out: The file; by default the experiment's name in the current folder.
        data: Images to compare on; by default the run's own, or noise if they are not on this machine.
        force: Whether to replace a file that is there.
        trust: Whether an experiment's file that was not made in this project may be run.

    Raises:
        UsageError: The format is unknown, a package is missing, the file is there already, or its folder is not.
        ModelError: The model cannot be exported.
        GateError: The file does not compute what the model does.
        DataError: `data` has no images of the model's classes.
        StorageError: The disk refuses.
    """
    if to not in SUFFIXES:
        raise UsageError(
            f"there is no format {to!r}{nearest(to, SUFFIXES)}", f"formats: {', '.join(SUFFIXES)}", "--to onnx"
        )
    if to == "onnx":
        export_onnx.require_packages()
    path = free_path(found, to, out, force)
    saved = found.saved
    sample = sample_images(saved, data)
    record = new_record(found, to)
    content = make_content(saved, record)
    ours = model_logits(saved, sample.images)
    agreement = _checked(content, record, found, ours, sample, path, trust)
    record = replace(record, sha256=hashlib.sha256(content).hexdigest())
    write_both(path, content, to_json(record))
    if to == "pt2":
        remember_export(record.sha256 or "")
    return Exported(path, json_beside(path), to, len(content), agreement, record)


def new_record(found: FoundModel, to: str) -> ExportRecord:
    """The description of an export of a model."""
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
        meaning = f"{colours} images of {height} x {width} pixels: (values / 255 - mean) / std, channel by channel"
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


def make_content(saved: SavedModel, record: ExportRecord) -> bytes:
    """The file of that kind. Raises ModelError if the model cannot be exported to it."""
    if record.kind in ("state_dict", "safetensors"):
        return export_weights.weights_content(saved.model, record)
    program = export_program.program_of(Portable(saved), saved.transform.shape, saved.architecture)
    if record.kind == "pt2":
        return export_program.program_content(program, record)
    return export_onnx.onnx_content(export_onnx.onnx_model(program, record), saved.architecture)


def free_path(found: FoundModel, to: str, out: Path | str | None, force: bool) -> Path:
    """Where the file is written. Raises UsageError if that is taken or has no folder, StorageError if read-only."""
    name = str(found.saved.experiment.get("name") or found.path.stem)
    path = Path(out) if out is not None else Path(name + SUFFIXES[to])
    wanted = SUFFIXES[to]
    if to != "state_dict" and path.suffix != wanted:
        raise UsageError(
            f"{path} does not end in {wanted}", "programs know the format by it", f"--out {path.stem}{wanted}"
        )
    for taken in (path, json_beside(path)):
        if taken.exists() and not taken.is_file():
            raise UsageError(f"{taken} cannot be written", "it is a folder, a pipe or a device", f"--out NAME{wanted}")
        if taken.exists() and not force:
            raise UsageError(
                f"{taken} is there already", "an export replaces no file unless asked to", "--force; or --out"
            )
    if not path.parent.is_dir():
        why, fix = "the file would be written to it", f"mkdir -p {quote(str(path.parent))}"
        raise UsageError(f"the folder {path.parent} is not there", why, fix)
    require_writable(path.parent)
    return path


def write_both(path: Path, content: bytes, description: bytes) -> None:
    """Writes a file and its `.json`: both, or neither. Raises StorageError if the disk refuses."""
    beside = json_beside(path)
    waiting = beside.with_name(f".{beside.name}-{secrets.token_hex(4)}")
    write_whole(waiting, description)
    try:
        write_whole(path, content)
        waiting.replace(beside)
    finally:
        waiting.unlink(missing_ok=True)


def _checked(
    content: bytes, record: ExportRecord, found: FoundModel, ours: Tensor, sample: Sample, path: Path, trust: bool
) -> Agreement:
    """Loads the file from a temporary folder as anybody would, and compares. Raises GateError if they disagree."""
    with tempfile.TemporaryDirectory(prefix="harness-export-") as folder:
        written = Path(folder, path.name)
        with storage_errors(written, "TMPDIR=FOLDER with more room"):
            written.write_bytes(content)
        model = open_exported(written, content, record, trust=True, function=model_function(found.path, trust))
        return check_export(model.run, ours, record.temperature, sample, path.name)
