"""Exports a model to a file for other programs, after it was loaded again and compared with the model."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError, nearest, storage_errors
from harness.models.export_record import SUFFIXES, ExportRecord, json_beside
from harness.runs.exports import remember_export
from harness.runs.record_file import to_json
from harness.util.text import short_repr
from harness.workflows.experiment_copy import model_function
from harness.workflows.export import onnx_file
from harness.workflows.export.check import Agreement, Run, check_export, compared, in_batches, model_logits
from harness.workflows.export.images import sample_images
from harness.workflows.export.int8 import Quantised, calibration_images, evaluate_int8, quantised_model, require_similar
from harness.workflows.export.load import open_exported
from harness.workflows.export.parts import any_size, make_content, new_record
from harness.workflows.export.place import free_path, write_both
from harness.workflows.export.resize import require_mode, with_resize
from harness.workflows.export.whole import Resized, check_resize
from harness.workflows.find_model import FoundModel
from harness.workflows.images_to_test import images_to_test


@dataclass(frozen=True, repr=False)
class Exported:
    """An exported file, and its comparison with the model.

    Attributes:
        path: The file.
        json_path: The description beside it.
        format: "onnx", "pt2", "state_dict" or "safetensors".
        bytes: Its size.
        agreement: Comparison with the model, in the runtime of the format, on images that Pillow resized.
        record: The description.
        resized: If the file resizes images: the difference from Pillow.
        int8: If it was quantised: its accuracy compared with the model's.
    """

    path: Path
    json_path: Path
    format: str
    bytes: int
    agreement: Agreement
    record: ExportRecord
    resized: Resized | None = None
    int8: Quantised | None = None

    def __repr__(self) -> str:
        same = f"{self.agreement.agree} of {self.agreement.n} predictions equal to the model's"
        return short_repr(self, f"{str(self.path)!r}: {self.bytes:,} bytes, {same}")


def export(
    found: FoundModel,
    to: str,
    out: Path | str | None = None,
    *,
    with_preprocessing: bool = False,
    int8: bool = False,
    data: Path | str | None = None,
    force: bool = False,
    trust: bool = False,
) -> Exported:
    """Writes a model to a file that accepts any batch size, and a `.json` file with its description.

    Before it is written, the file is loaded again in its runtime and compared with the model on 64 images.

    Args:
        found: The model.
        to: "onnx", "pt2", "state_dict" or "safetensors".
        out: The file; by default the experiment's name in the current folder.
        with_preprocessing: For ONNX: whether the file resizes images of any size.
        int8: For ONNX: whether weights and activations become 8-bit integers. The accuracies before and after are
            measured on the test images, which counts as a test, as with `harness test`.
        data: Images for the comparison; by default those of the run, or noise if they are not on this machine. With
            `int8` also the test images; by default the experiment's `test_data`.
        force: Whether to replace an existing file.
        trust: Whether to run an experiment file that was not made in this project.

    Raises:
        UsageError: The format is unknown, a package is missing, the file exists, or its folder does not.
        ModelError: The model cannot be exported.
        GateError: The file does not compute the same as the model, or int8 is significantly worse.
        DataError: `data` has no images of the model's classes, or the model was trained on the test images.
        StorageError: The file cannot be written.
    """
    saved = found.saved
    _require_possible(to, with_preprocessing, int8)
    if with_preprocessing:
        require_mode(saved.transform.preparation)
    path = free_path(str(saved.experiment.get("name") or found.path.stem), to, out, force)
    tested = images_to_test(saved, data, allow_missing=False, skip_corrupt=False) if int8 else None
    if tested is not None:
        tested.require_unseen(allow=False)
    sample = sample_images(saved, data)
    record = new_record(found, to)
    content = make_content(saved, record)
    ours = model_logits(saved, sample.images)
    checked = _Checked(found, path, trust)
    agreement = check_export(checked.run(content, record), ours, record.temperature, sample, path.name)
    quantised = resized = None
    if tested is not None:
        images = calibration_images(saved, tested)
        content = _described(quantised_model(onnx_file.read_onnx(content, path.name), images), record)
        run = checked.run(content, record)
        agreement = compared(in_batches(run, sample.images), ours, record.temperature, sample)
        require_similar(agreement, path.name)
        quantised = evaluate_int8(
            saved, record.origin.checkpoint or "", tested, lambda part: model_logits(saved, part), run, len(images)
        )
        record = replace(record, int8=quantised.record)
    if with_preprocessing:
        record = any_size(record)
        model = with_resize(onnx_file.read_onnx(content, path.name), saved.transform.preparation)
        content = _described(model, record)
        resized = check_resize(content, record, checked.run(content, record), sample, path.name)
    elif quantised is not None:
        content = _described(onnx_file.read_onnx(content, path.name), record)
    record = replace(record, sha256=hashlib.sha256(content).hexdigest())
    write_both(path, content, to_json(record))
    if to == "pt2":
        remember_export(record.sha256 or "")
    return Exported(path, json_beside(path), to, len(content), agreement, record, resized, quantised)


@dataclass(frozen=True)
class _Checked:
    """Loads a file from a temporary folder, as its users do."""

    found: FoundModel
    path: Path
    trust: bool

    def run(self, content: bytes, record: ExportRecord) -> Run:
        with tempfile.TemporaryDirectory(prefix="harness-export-") as folder:
            written = Path(folder, self.path.name)
            with storage_errors(written, "export TMPDIR=FOLDER, with a folder that has more space"):
                written.write_bytes(content)
            function = model_function(self.found.path, self.trust)
            return open_exported(written, content, record, trust=True, function=function).run


def _described(model: object, record: ExportRecord) -> bytes:
    onnx_file.describe(model, record)
    return onnx_file.onnx_content(model, record.architecture)


def _require_possible(to: str, with_preprocessing: bool, int8: bool) -> None:
    """Raises UsageError for an unknown format, for options that only ONNX has, or if its packages are missing."""
    if to not in SUFFIXES:
        formats = ", ".join(SUFFIXES)
        raise UsageError(f"there is no format {to!r}{nearest(to, SUFFIXES)}", f"formats: {formats}", "--to onnx")
    for option, asked in (("--with-preprocessing", with_preprocessing), ("--int8", int8)):
        if asked and to != "onnx":
            raise UsageError(f"{option} is not possible with --to {to}", "only ONNX supports it", "--to onnx")
    if to == "onnx":
        onnx_file.require_packages()
