"""All pictures of a set of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.evaluation.accuracy import Prediction
from harness.evaluation.scores import Floats, Indices, calibration, confusion
from harness.plots.confusion import draw_confusion
from harness.plots.gallery import draw_errors
from harness.plots.precision_recall import draw_precision_recall
from harness.plots.reliability import draw_reliability


def as_arrays(predictions: Sequence[Prediction], classes: Sequence[str]) -> tuple[Indices, Indices, Floats]:
    """(labels (N,), predicted (N,), probabilities (N, classes)): class indices, in the order of `classes`."""
    place = {name: i for i, name in enumerate(classes)}
    labels = np.array([place[p.label] for p in predictions], np.int64)
    predicted = np.array([place[p.predicted] for p in predictions], np.int64)
    return labels, predicted, np.array([p.probabilities for p in predictions], np.float64)


def draw_confusions(
    folder: Path, title: str, predictions: Sequence[Prediction], classes: Sequence[str], prefix: str = ""
) -> None:
    """`confusion.png` in images, and `confusion_normalised.png` in percent of each class."""
    labels, predicted, _ = as_arrays(predictions, classes)
    counts = confusion(labels, predicted, len(classes))
    draw_confusion(folder / f"{prefix}confusion.png", title, counts, classes, normalised=False)
    draw_confusion(folder / f"{prefix}confusion_normalised.png", title, counts, classes, normalised=True)


def draw_predictions(
    folder: Path, title: str, predictions: Sequence[Prediction], classes: Sequence[str], root: Path | None
) -> None:
    """Confusion, precision-recall, reliability, and a gallery of the worst errors, as PNGs in `folder`.

    `root` is where the paths of the predictions begin; without it there is no gallery. There must be at least one
    prediction.
    """
    labels, _, probabilities = as_arrays(predictions, classes)
    draw_confusions(folder, f"{title}: confusion", predictions, classes)
    draw_precision_recall(
        folder / "precision_recall.png", f"{title}: precision and recall", labels, probabilities, classes
    )
    draw_reliability(folder / "reliability.png", f"{title}: reliability", calibration(labels, probabilities))
    if root is not None:
        draw_errors(folder / "errors.png", f"{title}: the worst errors", predictions, classes, root)
