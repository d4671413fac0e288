"""A saved model judged on images that it has never seen, against a gate."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.experiment_file import folder_name
from harness.data.check import Check, check_images, copies_in, undecodable_error
from harness.data.folders import Images, list_images, require_every_class
from harness.data.loading import Batches, EpochSampler, ImageSource
from harness.data.pixels import Pixels
from harness.engine.precision import precision_or_auto
from harness.engine.trainer import Trainer, choose_device
from harness.errors import DataError, GateError, UsageError
from harness.evaluation.accuracy import Accuracy
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import ClassScore, Indices, by_class, confusion, log_loss
from harness.models.build import supports_channels_last
from harness.models.saved import SavedModel
from harness.runs import provenance
from harness.runs.find import find_run
from harness.runs.record_file import to_plain
from harness.runs.record_parts import (
    ClassRecord,
    ConfusionRecord,
    DataRecord,
    GateRecord,
    PrecisionRecord,
    Status,
    TestedFile,
)
from harness.runs.records import TestRecord
from harness.runs.run_folder import RunFolder, now
from harness.trackers.recording import recording
from harness.util.console import counted, print_line
from harness.util.memory import keep_freed_memory
from harness.util.packages import installed
from harness.util.schema import is_on_this_machine

BATCH_SIZE = 64
MIN_ACCURACY = 0.7  # where the checkpoint knows no experiment


@dataclass(frozen=True)
class Evaluation:
    """What a model says of images that it was never trained on, and whether that is enough."""

    run_dir: Path
    model: SavedModel
    images: Images
    predictions: Predictions
    min_accuracy: float
    notes: tuple[str, ...]
    seen_before: str  # which of the images the model was trained on, as a note says it; nothing where it is none

    @property
    def accuracy(self) -> Accuracy:
        return self.predictions.accuracy

    @property
    def loss(self) -> float:
        """The mean cross-entropy, whatever the loss function of the training was."""
        return log_loss(self.predictions.labels, self.predictions.probabilities)

    @cached_property
    def per_class(self) -> list[ClassScore]:
        return by_class(self.predictions.labels, self.predictions.predicted, self.model.classes)

    @property
    def confusion(self) -> Indices:
        """(classes, classes) counts, a row for each true class."""
        return confusion(self.predictions.labels, self.predictions.predicted, len(self.model.classes))

    @property
    def passed(self) -> bool:
        return self.accuracy.value >= self.min_accuracy

    def require_passed(self) -> None:
        """Raises GateError where the accuracy is below the gate."""
        if self.passed:
            return
        accuracy, (value, gate) = self.accuracy, distinct_percents(self.accuracy.value, self.min_accuracy)
        low, high = (100 * bound for bound in accuracy.interval)
        raise GateError(
            f"the gate is not met: accuracy {value} is below {gate}",
            f"{accuracy.right} of {accuracy.n} are right (95 % interval {low:.1f} to {high:.1f} %)",
            f"look at {self.run_dir}/plots/errors.png, and train a better model",
        )

    def numbers(self) -> dict[str, Any]:
        """The numbers, by the fields of `TestRecord`."""
        accuracy = self.accuracy
        return {
            "accuracy": accuracy.value,
            "interval": list(accuracy.interval),
            "n": accuracy.n,
            "misclassification_rate": (accuracy.n - accuracy.right) / accuracy.n,
            "loss": self.loss,
            "gate": GateRecord(self.passed, self.min_accuracy),
            "per_class": {s.name: ClassRecord(s.precision, s.recall, s.f1, s.support) for s in self.per_class},
            "confusion": ConfusionRecord(list(self.model.classes), self.confusion.tolist()),
        }

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for `--json` and `metrics.json`."""
        plain: dict[str, Any] = to_plain(self.numbers())
        return plain


def find_checkpoint(named: str, runs: Path) -> Path:
    """The checkpoint that `named` means: a file, or the best fold's of a run. Raises UsageError for none."""
    if Path(named).is_file():
        return Path(named)
    folder = find_run(named, runs)
    best = folder.best_fold()
    if best is None:
        why = "it is itself a test" if folder.is_test else "none of its folds has ended"
        raise UsageError(f"{folder.path} has no model to test", why, "harness list shows the latest runs")
    path = folder.checkpoint_of(best)
    if not path.is_file():
        raise UsageError(f"the model of {folder.path} is gone", f"{path} is not there", "harness list, for other runs")
    return path


def evaluate(
    model: SavedModel,
    checkpoint: Path,
    data: Path | str | None = None,
    *,
    min_accuracy: float | None = None,
    allow_missing: bool = False,
    skip_corrupt: bool = False,
    device: str = "auto",
    trackers: Sequence[str] | None = None,
    runs: Path = Path("runs"),
    out: Path | None = None,
) -> Evaluation:
    """Predicts every image under `data`, by default the experiment's `test_data`, and writes all of it down.

    It goes to a new folder under `runs`, or to `out`; to MLflow, too, if the experiment names it. `min_accuracy` is by
    default the experiment's. Raises DataError where the images are not what the model knows, UsageError for options.
    """
    images, check, notes = _images(model, data, allow_missing, skip_corrupt)
    seen = _seen_before(model, images, check)
    notes += [seen] if seen else []
    asked = str(model.experiment.get("precision", "auto"))
    chosen = choose_device(device)
    trainer = Trainer(precision=precision_or_auto(asked, chosen), device=chosen)
    gate = model.experiment.get("min_accuracy", MIN_ACCURACY) if min_accuracy is None else min_accuracy
    record = dataclasses.replace(_record(model, checkpoint, images, check, trainer, notes), asked={"gate": gate})
    folder = RunFolder.create(runs, record, out)
    with recording(folder, _mirrors(model, trackers)):
        assert check.pixels is not None
        predictions = _predict(trainer, model, check.pixels)
        evaluation = Evaluation(folder.path, model, images, predictions, gate, tuple(notes), seen)
        folder.write_predictions(predictions)
        folder.write_metrics(evaluation.to_dict())
        folder.update(**evaluation.numbers())
    return evaluation


def distinct_percents(value: float, gate: float) -> tuple[str, str]:
    """Both as percentages, with as many decimals as show that they differ, if they do."""
    for decimals in range(1, 12):
        texts = f"{100 * value:.{decimals}f} %", f"{100 * gate:.{decimals}f} %"
        if texts[0] != texts[1] or value == gate:
            break
    return texts


def _images(
    model: SavedModel, data: Path | str | None, allow_missing: bool, skip_corrupt: bool
) -> tuple[Images, Check, list[str]]:
    """(images, their check, notes for the report)."""
    named = model.experiment.get("test_data")
    root = data or (named if named and is_on_this_machine(named) else None)
    if not root:
        why = f"the experiment names {named}, on another machine" if named else "the experiment names no test_data"
        raise UsageError("there are no images to test on", why, "--data FOLDER")
    images = list_images(root, model.classes)
    notes = []
    if not allow_missing:
        require_every_class(images)
    check = check_images(images, model.transform.image_size)
    if check.problems:
        if not skip_corrupt:
            raise undecodable_error(check, images)
        notes.append(f"{len(check.problems)} images cannot be decoded and are left out: {', '.join(check.problems)}")
        images, check = check.without(images)
        if not len(images):
            raise DataError(f"no image of {images.root} is left", "none of them can be decoded", "--data FOLDER")
        if not allow_missing:
            require_every_class(images)
    absent = [name for name, count in images.counts().items() if not count]
    if absent:
        notes.append(f"no image of {', '.join(absent)}: the numbers say nothing of that")
    return images, check, notes


def _seen_before(model: SavedModel, images: Images, check: Check) -> str:
    """Which of the images the model was trained on, in words; nothing where it is none."""
    if model.data_digest is not None and check.digest(images) == model.data_digest:
        which = "these are the very images, so the numbers mean nothing"
    elif seen := _also_trained_on(model, images, check):
        which = f"{len(seen)} of these images: {', '.join(seen[:3])}"
    else:
        return ""
    return f"the model was trained on them: {which}"


def _also_trained_on(model: SavedModel, images: Images, check: Check) -> list[str]:
    """Those that lie, to the byte, among the training images too, as far as these are at hand."""
    named = model.experiment.get("data", "")
    try:
        training = list_images(named, model.classes) if named and is_on_this_machine(named) else None
    except DataError:
        return []
    if training is None:
        return []
    return copies_in(training, images, check)


def _predict(trainer: Trainer, model: SavedModel, pixels: Pixels) -> Predictions:
    """As the validation of a fold does: the same arithmetic, the same order of memory, no augmentation."""
    images, size = pixels.images, model.transform.image_size
    trainer.channels_last = supports_channels_last(model.model, size, trainer.device)
    if trainer.device.type == "cpu":
        keep_freed_memory()
    sampler = EpochSampler(range(len(images)), BATCH_SIZE, seed=0, shuffle=False)
    batches = Batches(ImageSource(pixels, model.transform), images.labels, sampler, device=trainer.device)
    logits = trainer.predict(model.model, counted(batches, len(batches), "testing"))
    return Predictions(
        model.classes,
        tuple(images.paths),
        np.full(len(images), model.fold or 0),
        np.array(images.labels, np.int64),
        logits.double().softmax(1).numpy(),
    )


def _mirrors(model: SavedModel, trackers: Sequence[str] | None) -> list[str]:
    """A test has no epochs for TensorBoard to show."""
    asked = model.experiment.get("trackers", ["mlflow"]) if trackers is None else trackers
    if "mlflow" in asked and not installed("mlflow"):
        print_line("note: mlflow is not installed, and the test goes on without it (pip install mlflow)")
    return [name for name in asked if name == "mlflow"]


def _record(
    model: SavedModel, checkpoint: Path, images: Images, check: Check, trainer: Trainer, notes: list[str]
) -> TestRecord:
    architecture = model.architecture.rpartition(":")[2]
    freeze = model.experiment.get("freeze", "unknown")
    return TestRecord(
        kind="test",
        name=str(model.experiment.get("name") or folder_name(checkpoint.stem)),
        status=Status.RUNNING,
        started=now(),
        title=f"test_{architecture}_freeze_{freeze}_{datetime.now():%H%M%S}",
        command=provenance.command(),
        experiment={"model": architecture, "freeze": freeze, **model.experiment},
        checkpoint=TestedFile(str(checkpoint), hashlib.sha256(checkpoint.read_bytes()).hexdigest(), model.fold),
        git=provenance.git_state(),
        data=DataRecord(
            folder=str(images.root),
            images=len(images),
            classes=images.counts(),
            digest=check.digest(images),
            dvc=provenance.dvc_state(images.root),
        ),
        device=str(trainer.device),
        precision=PrecisionRecord(trainer.precision.name, trainer.precision.reason),
        versions=provenance.versions(),
        machine=provenance.machine(),
        notes=notes,
    )
