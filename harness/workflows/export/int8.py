"""Quantises an ONNX model to int8: calibrates it on training images, and compares it with the model on test images."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.decode import problem, read
from harness.data.fingerprint import fingerprint
from harness.data.images import Images
from harness.errors import DataError, GateError, ModelError, storage_error
from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import Comparison, compare
from harness.evaluation.predictions import Predictions
from harness.models.export_record import QuantisedRecord
from harness.models.saved import SavedModel
from harness.runs.looks import Looks, add_look
from harness.util.console import counted
from harness.workflows.export.check import AT_ONCE, Agreement
from harness.workflows.export.images import spread, training_images
from harness.workflows.export.torch_program import first_line, quietly
from harness.workflows.images_to_test import TestImages

CALIBRATION = 128  # number of images
# Activations are quantised together with their convolution, because the range before a Clip is many times larger than
# after it. Sums, the normalisation and the softmax stay in floating point.
OPERATORS = ["Conv", "Gemm", "MatMul", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"]
LEAST_AGREEMENT = 0.95  # smallest share of equal predictions, on images without labels
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Quantised:
    """The effect of int8 on a model.

    Attributes:
        calibration: Number of training images from which the ranges of the activations come.
        comparison: The int8 model compared with the model, on the same test images.
        looks: How often the test images were tested, including this test; None if that cannot be counted.
    """

    calibration: int
    comparison: Comparison
    looks: Looks | None

    @property
    def record(self) -> QuantisedRecord:
        compared = self.comparison
        return QuantisedRecord(
            calibration=self.calibration,
            before=compared.second.value,
            after=compared.first.value,
            n=compared.n,
            interval=compared.interval,
            p=compared.p,
        )

    def __str__(self) -> str:
        before, after = (100 * accuracy.value for accuracy in (self.comparison.second, self.comparison.first))
        return f"accuracy {before:.1f} % before, {after:.1f} % after: {self.comparison}"


def calibration_images(saved: SavedModel, tested: TestImages | None) -> NDArray[np.uint8]:
    """(N, H, W, C) up to 128 training images, evenly from all classes, without test images.

    Raises DataError if the training images are not on this machine.
    """
    images = training_images(saved)
    if images is None:
        named = saved.experiment.get("data")
        raise DataError(
            "int8 needs training images",
            f"data={named} is not on this machine"
            if named
            else "the model does not say which images it was trained on",
            "export without --int8; or copy the images to the folder that the experiment names",
        )
    test = set() if tested is None else set(tested.check.fingerprints.tolist())
    return _decoded(images, saved, test)


def quantised_model(model: Any, images: NDArray[np.uint8]) -> Any:
    """Returns the ModelProto with convolutions and matrix products in int8, per channel.

    Args:
        model: A ModelProto with one input of uint8 images.
        images: (N, H, W, C) images for the ranges of the activations.

    Raises:
        ModelError: onnxruntime cannot quantise the model.
    """
    onnx: Any = importlib.import_module("onnx")
    with tempfile.TemporaryDirectory(prefix="harness-int8-") as folder:
        given, ready, written = (Path(folder, f"{name}.onnx") for name in ("given", "ready", "int8"))
        try:
            with quietly(), contextlib.redirect_stdout(io.StringIO()):
                quantization: Any = importlib.import_module("onnxruntime.quantization")
                inference: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
                onnx.save(model, str(given))  # a file, because quant_pre_process loses the weights of a ModelProto
                inference.quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
                quantization.quantize_static(
                    str(ready),
                    str(written),
                    _Reader(model.graph.input[0].name, images),
                    quant_format=quantization.QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    op_types_to_quantize=OPERATORS,
                )
                return onnx.load(str(written))
        except OSError as error:
            raise storage_error(error, folder, "export TMPDIR=FOLDER, with a folder that has more space") from error
        except Exception as error:  # the tools of onnxruntime may raise anything
            raise ModelError("the model cannot be quantised", first_line(error), "export without --int8") from error


def evaluate_int8(
    saved: SavedModel, checkpoint: str, tested: TestImages, before: Run, after: Run, images: int
) -> Quantised:
    """Compares the accuracies of an int8 model and its model, and counts two tests on the test images.

    Args:
        saved: The model.
        checkpoint: Its SHA-256, which identifies the model in the list of tests.
        tested: The test images.
        before: The model.
        after: The int8 model.
        images: Number of calibration images.

    Raises:
        GateError: The int8 model is significantly worse.
    """
    one, other = (_predictions(saved, tested, run) for run in (after, before))
    test = f"export-{secrets.token_hex(4)}"
    add_look(other, checkpoint, test)
    looks = add_look(one, hashlib.sha256(f"int8 of {checkpoint}".encode()).hexdigest(), test)
    quantised = Quantised(images, compare(one, other), looks)
    compared = quantised.comparison
    if compared.difference < 0 and compared.p < SIGNIFICANCE:
        raise GateError(
            "the int8 model is significantly worse than the model, and is not written",
            str(quantised),
            "export without --int8",
        )
    return quantised


def require_similar(agreement: Agreement, named: str) -> None:
    """Raises GateError if an int8 model predicts other classes. A comparison on few test images may not show that."""
    if agreement.agree < LEAST_AGREEMENT * agreement.n:
        raise GateError(
            f"{named} in int8 predicts other classes than the model, and is not written",
            f"{agreement}; at least {100 * LEAST_AGREEMENT:.0f} % must agree",
            "export without --int8",
        )


def _predictions(saved: SavedModel, tested: TestImages, run: Run) -> Predictions:
    images, pixels = tested.images, tested.check.pixels
    assert pixels is not None
    starts = range(0, len(images), AT_ONCE)
    with torch.inference_mode():
        logits = torch.cat(
            [
                run(pixels.take(range(start, min(start + AT_ONCE, len(images)))))
                for start in counted(starts, len(starts), "testing")
            ]
        )
    return Predictions(
        saved.classes,
        tuple(images.paths),
        np.zeros(len(images), np.int64),
        np.array(images.labels, np.int64),
        (logits.double() / saved.temperature).softmax(1).numpy(),
        tested.groups,
        tested.check.fingerprints,
    )


def _decoded(images: Images, saved: SavedModel, test: set[int]) -> NDArray[np.uint8]:
    preparation = saved.transform.preparation
    arrays: list[NDArray[np.uint8]] = []

    def add(content: bytes) -> None:
        raw = read(content)
        if fingerprint(raw) not in test:
            arrays.append(preparation.array(preparation.picture(raw)))

    for file in spread(images, CALIBRATION):
        if file.is_file():
            problem(file.read_bytes(), add)
    if not arrays:
        raise DataError(
            f"no image of {images.root} can be used for calibration",
            "none can be decoded, or all are also test images",
            "export without --int8",
        )
    return np.stack(arrays)


class _Reader:
    """Gives onnxruntime the calibration images batch by batch, like its CalibrationDataReader."""

    def __init__(self, name: str, images: NDArray[np.uint8]) -> None:
        self._name, self._images, self._next = name, images, 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        part = self._images[self._next : self._next + AT_ONCE]
        self._next += AT_ONCE
        return {self._name: part} if len(part) else None
