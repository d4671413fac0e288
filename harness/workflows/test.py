"""Tests a saved model on images that it was not trained on, against a gate."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.images import Images
from harness.data.loading import Batches, EpochSampler, ImageSource
from harness.engine.device import choose_device
from harness.engine.precision import precision_or_auto
from harness.engine.trainer import Trainer
from harness.errors import READ_ONLY, GateError, ModelError, StorageError
from harness.evaluation.accuracy import Accuracy
from harness.evaluation.gate import Floor, Gate, judge
from harness.evaluation.predictions import Predictions
from harness.evaluation.scorecard import Scorecard, scorecard
from harness.evaluation.scores import ClassScore, Floats, Indices, confusion
from harness.evaluation.temperature import scaled
from harness.models.build import supports_channels_last
from harness.models.saved import SavedModel
from harness.runs.looks import Looks, add_look
from harness.runs.record_file import to_plain
from harness.runs.record_parts import (
    ConfusionRecord,
    NearCopiesRecord,
)
from harness.runs.run_folder import RunFolder
from harness.runs.scores_record import gate_record, scorecard_fields
from harness.trackers.recording import recording
from harness.util.console import counted, print_line
from harness.util.files import require_writable
from harness.util.memory import keep_freed_memory
from harness.util.packages import installed
from harness.workflows.ensemble import Ensemble, evaluate_ensemble
from harness.workflows.images_to_test import TestImages, images_to_test, seen_text
from harness.workflows.near_copies_of_test import NearOfTest, near_copies_of_test
from harness.workflows.new_record import record_of_test
from harness.workflows.without_near_copies import without_near_copies

BATCH_SIZE = 64
MIN_ACCURACY = 0.7  # if the checkpoint contains no experiment
EXPERIMENTS_GATE = Gate()


@dataclass(frozen=True)
class Evaluation:
    """The result of a test: predictions, metrics, and whether the model passes its gate."""

    run_dir: Path
    model: SavedModel
    images: Images
    predictions: Predictions  # with the model's temperature
    gate: Gate
    notes: tuple[str, ...]
    leaked: tuple[str, ...]  # paths of images that the model was trained on
    ensemble: Ensemble | None = None  # of the fold models of its run, on the same images
    near_copies: NearCopiesRecord | None = (
        None  # accuracy without near copies of training images; None if there are none
    )
    looks: Looks | None = None  # how often these images have been tested on; None if that cannot be counted

    @property
    def seen_before(self) -> str:
        """Says how many of the images the model was trained on; empty if none."""
        return seen_text(self.leaked, len(self.images)) if self.leaked else ""

    @property
    def accuracy(self) -> Accuracy:
        return self.predictions.accuracy

    @cached_property
    def uncalibrated(self) -> Floats:
        """(N, classes) probabilities without the temperature, as in training."""
        return scaled(self.predictions.probabilities, 1 / self.model.temperature)

    @cached_property
    def scores(self) -> Scorecard:
        """All metrics except the accuracy. The temperature comes from training; nothing is fitted to these images."""
        return scorecard(self.predictions, self.uncalibrated, self.predictions.probabilities, self.model.temperature)

    @property
    def per_class(self) -> list[ClassScore]:
        return self.scores.per_class

    @property
    def confusion(self) -> Indices:
        """(classes, classes) counts, with one row for each true class."""
        return confusion(self.predictions.labels, self.predictions.predicted, len(self.model.classes))

    @property
    def near_copies_text(self) -> str:
        """The number of images with a near copy in the training set, and the accuracy without them; empty if none."""
        return "" if self.near_copies is None else self.near_copies.text(self.accuracy.n)

    @cached_property
    def floors(self) -> tuple[Floor, ...]:
        """Each threshold of the gate with the value of the model; that of the gate's metric comes first.

        All images count, near copies too. Without them, the gate would depend on the training set.
        """
        return judge(self.predictions, self.gate)

    @property
    def passed(self) -> bool:
        return all(floor.passed for floor in self.floors)

    def require_passed(self) -> None:
        """Raises GateError if the model does not pass its gate."""
        failed = next((floor for floor in self.floors if not floor.passed), None)
        if failed is None:
            return
        accuracy = self.accuracy
        low, high = (100 * bound for bound in accuracy.interval)
        raise GateError(
            f"the gate is not met: {failed}",
            f"{accuracy.right} of {accuracy.n} are right (95 % interval {low:.1f} to {high:.1f} %)",
            f"look at the errors in {self.run_dir}/plots/errors.png, and train a better model"
            if failed.value is None or failed.value < failed.least
            else "a test on more images: the interval becomes narrower",
        )

    def numbers(self) -> dict[str, Any]:
        """All numbers, under the names of the fields of `TestRecord`."""
        accuracy = self.accuracy
        return {
            "accuracy": accuracy.value,
            "interval": list(accuracy.interval),
            "n": accuracy.n,
            "groups": accuracy.groups,
            "leaked": len(self.leaked),
            "near_copies": self.near_copies,
            "misclassification_rate": (accuracy.n - accuracy.right) / accuracy.n,
            "gate": gate_record(self.gate, self.floors),
            "looks": self.looks,
            **scorecard_fields(self.scores),
            "ensemble": None if self.ensemble is None else self.ensemble.record,
            "confusion": ConfusionRecord(list(self.model.classes), self.confusion.tolist()),
        }

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for `--json` and `metrics.json`."""
        plain: dict[str, Any] = to_plain(self.numbers())
        return plain


def evaluate(
    model: SavedModel,
    checkpoint: Path,
    data: Path | str | None = None,
    *,
    gate: Gate = EXPERIMENTS_GATE,
    allow_missing: bool = False,
    skip_corrupt: bool = False,
    allow_leak: bool = False,
    ensemble: Sequence[SavedModel] = (),
    device: str = "auto",
    trackers: Sequence[str] | None = None,
    runs: Path = Path("runs"),
    out: Path | None = None,
    pictures: bool = True,
    find_near_copies: bool = True,
) -> Evaluation:
    """Tests a model on images, writes a test folder, and adds the test to the list of all tests on these images.

    Args:
        model: The model.
        checkpoint: Its file.
        data: The test images; by default the experiment's `test_data`.
        gate: The thresholds to pass. If it has no value for its metric, the experiment's `min_accuracy` is used.
        allow_missing: Whether a class may have no image.
        skip_corrupt: Whether to leave out images that cannot be decoded.
        allow_leak: Whether the model may have been trained on some of the images.
        ensemble: Models whose mean probabilities are compared with the model.
        device: "auto", or the name of a torch device.
        trackers: The trackers to use; by default those of the experiment. A test is sent to MLflow only.
        runs: The folder for the new test folder. If it is read-only, a temporary folder is used.
        out: The test folder, instead of a new one in `runs`.
        pictures: Whether to draw plots.
        find_near_copies: Whether to compare the test images with the training images.

    Raises:
        DataError: The images do not have the classes of the model, or it was trained on some of them.
        UsageError: An option is wrong.
        ModelError: The model returns NaN or infinity.
    """
    gate.require_classes(model.classes)
    out = out or _instead_of(runs)
    chosen = choose_device(device)
    tested = images_to_test(model, data, allow_missing, skip_corrupt)
    tested.require_unseen(allow_leak)
    near = near_copies_of_test(model, tested) if find_near_copies else NearOfTest()
    tested.notes.extend(near.notes)
    images, notes = tested.images, tested.notes
    asked = str(model.experiment.get("precision", "auto"))
    trainer = Trainer(precision=precision_or_auto(asked, chosen), device=chosen)
    if gate.least is None:
        gate = dataclasses.replace(gate, least=model.experiment.get("min_accuracy", MIN_ACCURACY))
    record = dataclasses.replace(record_of_test(model, checkpoint, tested, near, trainer), asked={"gate": gate.least})
    folder = RunFolder.create(runs, record, out)
    with recording(folder, _mirrors(model, trackers), pictures=pictures):
        predict = functools.partial(_predict, trainer, tested)
        started = time.perf_counter()
        predictions = predict(model)
        seconds = time.perf_counter() - started
        joint = evaluate_ensemble(ensemble, predict, predictions, seconds) if ensemble else None
        looks = add_look(predictions, record.checkpoint.sha256, folder.id)
        if joint is not None:
            add_look(joint.predictions, f"ensemble of {record.checkpoint.sha256}", folder.id)
        rest = without_near_copies(predictions, near.paths, bool(tested.seen))
        evaluation = Evaluation(
            folder.path, model, images, predictions, gate, tuple(notes), tested.seen, joint, rest, looks
        )
        folder.write_predictions(predictions)
        folder.write_metrics({name: value for name, value in evaluation.to_dict().items() if name != "looks"})
        folder.update(**evaluation.numbers())
    return evaluation


def _instead_of(runs: Path) -> Path | None:
    """A new temporary folder if `runs` is read-only, so that the test can run; None otherwise."""
    try:
        require_writable(runs)
    except StorageError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in READ_ONLY:
            raise
        out = Path(tempfile.mkdtemp(prefix="harness-test-"))
        print_line(f"warning: {error.what} ({error.__cause__.strerror}), so the test is written to {out}")
        return out
    return None


def _predict(trainer: Trainer, tested: TestImages, model: SavedModel) -> Predictions:
    """Predicts as the validation of a fold does: same precision, same memory format, no augmentation."""
    images, pixels = tested.images, tested.check.pixels
    assert pixels is not None
    trainer.channels_last = supports_channels_last(model.model, model.transform.shape, trainer.device)
    if trainer.device.type == "cpu":
        keep_freed_memory()
    sampler = EpochSampler(range(len(images)), BATCH_SIZE, seed=0, shuffle=False)
    batches = Batches(ImageSource(pixels, model.transform), images.labels, sampler, device=trainer.device)
    logits = trainer.predict(model.model, counted(batches, len(batches), "testing"))
    if not bool(logits.isfinite().all()):
        raise ModelError(
            f"the model returns nan or inf for {int((~logits.isfinite().all(1)).sum())} images",
            "its weights are damaged or belong to another model, or its values overflow in this precision",
            "name another run; or harness run EXPERIMENT -s precision=fp32, and test that",
        )
    return Predictions(
        model.classes,
        tuple(images.paths),
        np.full(len(images), model.fold or 0),
        np.array(images.labels, np.int64),
        (logits.double() / model.temperature).softmax(1).numpy(),
        tested.groups,
        tested.check.fingerprints,
    )


def _mirrors(model: SavedModel, trackers: Sequence[str] | None) -> list[str]:
    """The trackers for a test: MLflow only, because a test has no epochs for TensorBoard to show."""
    asked = model.experiment.get("trackers", ["mlflow"]) if trackers is None else trackers
    if "mlflow" in asked and not installed("mlflow"):
        print_line("warning: mlflow is not installed, so the test is not sent to MLflow (pip install mlflow)")
    return [name for name in asked if name == "mlflow"]
