"""Run folders with known predictions, written by what a run writes them with, in milliseconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.evaluation.predictions import Predictions
from harness.runs.record_parts import DataRecord, FoldRecord, SplitSizes, Status, TestedFile, TrialOf
from harness.runs.records import RunRecord, TestRecord
from harness.runs.run_folder import RunFolder
from tests.toy import run_record

CLASSES = ("forest", "sea")


def predicted(
    right: str,
    *,
    fold: int = 1,
    first: int = 0,
    prints: Sequence[int] | None = None,
    known: bool = True,
    groups: Sequence[int] | None = None,
    classes: tuple[str, ...] = CLASSES,
    sure: float = 0.9,
) -> Predictions:
    """A "+" for each image that is right, a "-" for each that is wrong; the images are of forest and sea in turn.

    Args:
        right: The images in order.
        fold: Of all of them.
        first: Number of the first image, by which its path and its fingerprint are made.
        prints: Fingerprints instead.
        known: Whether there are fingerprints, as older versions have none.
        groups: Of the images.
        classes: In the order of the model's outputs.
        sure: Probability of the class that is named.
    """
    numbers = np.arange(first, first + len(right))
    names = [CLASSES[i % 2] for i in numbers]
    labels = np.array([classes.index(name) for name in names], np.int64)
    shares = np.full((len(right), len(classes)), (1 - sure) / (len(classes) - 1))
    for row, (label, letter) in enumerate(zip(labels, right, strict=True)):
        shares[row, label if letter == "+" else (label + 1) % len(classes)] = sure
    fingerprints = None if not known else np.array(numbers + 1000 if prints is None else prints, np.int64)
    return Predictions(
        classes,
        tuple(f"{name}/{i}.jpg" for i, name in zip(numbers, names, strict=True)),
        np.full(len(right), fold),
        labels,
        shares,
        None if groups is None else np.array(groups, np.int64),
        fingerprints,
    )


def lay_run(
    runs: Path, *parts: Predictions, path: Path | None = None, planned: int | None = None, **fields: object
) -> RunFolder:
    """A finished run that has trained a fold for each of `parts`; `planned` is the number of folds it should have."""
    settings = {"data": "images", "folds": planned or len(parts), **fields.pop("experiment", {})}  # type: ignore[dict-item]
    record = run_record("tiny", experiment=settings, judged="the last epoch")
    splits = {str(fold): SplitSizes(1, 1) for fold in range(1, 1 + (planned or len(parts)))}
    return _lay(runs, dataclasses.replace(record, splits=splits), parts, path, fields)


def lay_trial(runs: Path, study: str, trial: int, *parts: Predictions, **fields: object) -> RunFolder:
    """A trial in its study's folder."""
    path = runs / "tiny" / f"study-{study}" / f"trial-{trial:03d}"
    return lay_run(runs, *parts, path=path, study=TrialOf(study, "abc", trial), **fields)


def lay_test(runs: Path, predictions: Predictions, *, checkpoint: str = "model.pt", **fields: object) -> RunFolder:
    """A finished test of one model."""
    settings = {"data": "training images", **fields.pop("experiment", {})}  # type: ignore[dict-item]
    whole = run_record("tiny", experiment=settings)
    values = {item.name: getattr(whole, item.name) for item in dataclasses.fields(whole)} | {"kind": "test"}
    record = TestRecord(**values, checkpoint=TestedFile(checkpoint, "0" * 64))
    return _lay(runs, record, [predictions], None, fields)


def _lay(
    runs: Path, record: RunRecord, parts: Sequence[Predictions], path: Path | None, fields: dict[str, object]
) -> RunFolder:
    data = DataRecord("images", 100, dict.fromkeys(parts[0].classes if parts else CLASSES, 50), "0" * 32 + ".dir")
    data = dataclasses.replace(data, **fields.pop("data", {}))  # type: ignore[arg-type]
    folder = RunFolder.create(runs, dataclasses.replace(record, data=data), path)
    for part in parts:
        folder.write_predictions(part)
    numbers: dict[str, object] = {}
    if parts:
        whole = Predictions.join(parts).accuracy
        numbers = {"accuracy": whole.value, "interval": list(whole.interval), "n": whole.n, "fit_seconds": 1.0}
    if not folder.is_test:
        numbers["folds"] = [
            FoldRecord(int(p.folds[0]), p.accuracy.value, len(p), 0.5, 2, 2, None, "fold.pt", 1.0) for p in parts
        ]
    folder.update(**{"status": Status.FINISHED, **numbers, **fields})
    return folder
