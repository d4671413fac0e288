"""Measures size and speed of each export format on this machine."""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from harness.engine.checkpoint import whole
from harness.errors import HarnessError
from harness.models.build import supports_channels_last
from harness.models.export_record import SUFFIXES
from harness.models.portable import without_compiling
from harness.models.saved import SavedModel
from harness.workflows.experiment_copy import model_function
from harness.workflows.export import onnx_file
from harness.workflows.export.check import Agreement, compared, in_batches, model_logits
from harness.workflows.export.images import Sample
from harness.workflows.export.int8 import calibration_images, quantised_model
from harness.workflows.export.load import open_exported
from harness.workflows.export.parts import make_content, new_record
from harness.workflows.find_model import FoundModel

BATCH = 16
ROUNDS = 7
LEAST = 0.05  # seconds; minimum duration of one measurement
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FormatRow:
    """The measurements of one format.

    Attributes:
        name: To print.
        bytes: Size of the file.
        speed: Images per second, the median of the rounds; None if it cannot be measured.
        ratio: Speed as a multiple of that of the model in PyTorch.
        agreement: Comparison with the model.
        problem: Why there are no measurements; empty otherwise.
    """

    name: str
    bytes: int | None = None
    speed: float | None = None
    ratio: float | None = None
    agreement: Agreement | None = None
    problem: str = ""


@dataclass(frozen=True)
class Benchmark:
    """The measurements of all formats of a model. The first row is PyTorch."""

    rows: tuple[FormatRow, ...]
    batch: int
    threads: int
    rounds: int
    load: float | None  # mean number of running processes during the measurement

    def to_plain(self) -> dict[str, object]:
        """Plain values, for JSON."""
        rows = [
            {
                "format": row.name,
                "bytes": row.bytes,
                "images_per_second": row.speed,
                "ratio": row.ratio,
                "largest_difference": None if row.agreement is None else row.agreement.probabilities,
                "agree": None if row.agreement is None else row.agreement.agree,
                "n": None if row.agreement is None else row.agreement.n,
                "problem": row.problem,
            }
            for row in self.rows
        ]
        return {"rows": rows, "batch": self.batch, "threads": self.threads, "rounds": self.rounds, "load": self.load}


def benchmark(found: FoundModel, sample: Sample, trust: bool = False) -> Benchmark:
    """Measures each format on this machine's CPU, with the same images, batch size and threads.

    Each round measures all formats once, so that other load affects all of them. A format that cannot be made has a
    reason instead of measurements. No test images are used, so there is no accuracy of int8.
    """
    saved = found.saved
    ours = model_logits(saved, sample.images)
    images = sample.images[torch.arange(BATCH) % len(sample.images)]
    rows, runs = [FormatRow("PyTorch fp32", len(whole(found.path)))], [_torch(saved)]
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as folder:
        for name, kind, int8 in (
            ("onnx", "onnx", False),
            ("onnx int8", "onnx", True),
            ("pt2", "pt2", False),
            ("state_dict", "state_dict", False),
            ("safetensors", "safetensors", False),
        ):
            try:
                run, size = _opened(found, kind, int8, Path(folder), trust)
                agreement = compared(in_batches(run, sample.images), ours, saved.temperature, sample)
            except HarnessError as error:
                rows.append(FormatRow(name, problem=f"{error.what}: {error.why} ({error.fix})"))
                continue
            rows.append(FormatRow(name, size, agreement=agreement))
            runs.append(run)
        speeds = _measured(runs, images)
    measured = iter(speeds)
    done = [row if row.problem else replace(row, speed=(now := next(measured)), ratio=now / speeds[0]) for row in rows]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Benchmark(tuple(done), BATCH, torch.get_num_threads(), ROUNDS, load)


def _opened(found: FoundModel, kind: str, int8: bool, folder: Path, trust: bool) -> tuple[Run, int]:
    if kind == "onnx":
        onnx_file.require_packages()
    record = new_record(found, kind)
    content = make_content(found.saved, record)
    if int8:
        model = onnx_file.read_onnx(content, "the ONNX model")
        model = quantised_model(model, calibration_images(found.saved, None))
        onnx_file.describe(model, record)
        content = onnx_file.onnx_content(model, found.saved.architecture)
    path = folder / f"{hashlib.sha256(content).hexdigest()[:8]}{SUFFIXES[kind]}"
    path.write_bytes(content)
    function = model_function(found.path, trust)
    return open_exported(path, content, record, trust=True, function=function).run, len(content)


def _torch(saved: SavedModel) -> Run:
    """The model as a test runs it, in fp32: channels last in memory if the model supports it."""
    model = without_compiling(saved.model)
    last = supports_channels_last(model, saved.transform.shape, torch.device("cpu"))
    order = torch.channels_last if last else torch.contiguous_format

    def run(images: Tensor) -> Tensor:
        logits: Tensor = model(saved.transform.normalise(images).to(memory_format=order))
        return logits

    return run


def _measured(runs: list[Run], images: Tensor) -> list[float]:
    """Images per second of each, the median of rounds that measure each once."""
    speeds: list[list[float]] = [[] for _ in runs]
    with torch.inference_mode():
        for run in runs:
            run(images)  # the first pass allocates, and chooses algorithms
        for _ in range(ROUNDS):
            for run, own in zip(runs, speeds, strict=True):
                passes, started = 0, time.perf_counter()
                while passes == 0 or time.perf_counter() - started < LEAST:
                    run(images)
                    passes += 1
                own.append(passes * len(images) / (time.perf_counter() - started))
    return [statistics.median(own) for own in speeds]
