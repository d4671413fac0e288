"""All plots of a set of predictions."""

from __future__ import annotations

from pathlib import Path

from harness.data.depth import Range
from harness.evaluation.abstention import abstention
from harness.evaluation.calibration import calibration
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import confusion
from harness.plots.abstention import draw_abstention
from harness.plots.confusion import draw_confusion
from harness.plots.gallery import draw_errors
from harness.plots.precision_recall import draw_precision_recall
from harness.plots.reliability import draw_reliability


def draw_confusions(folder: Path, title: str, predictions: Predictions, prefix: str = "") -> None:
    """Draws `confusion.png` with counts of images, and `confusion_normalised.png` with percentages of each class."""
    counts = confusion(predictions.labels, predictions.predicted, len(predictions.classes))
    classes = predictions.classes
    draw_confusion(folder / f"{prefix}confusion.png", title, counts, classes, normalised=False)
    draw_confusion(folder / f"{prefix}confusion_normalised.png", title, counts, classes, normalised=True)


def draw_predictions(
    folder: Path, title: str, predictions: Predictions, root: Path | None, value_range: Range | None = None
) -> None:
    """Draws the confusion matrix, precision-recall, reliability, abstention and the worst errors as PNG files.

    Args:
        folder: The folder to write to.
        title: How the title of each plot begins.
        predictions: At least one prediction.
        root: The folder that the paths of the predictions are relative to. None: the errors are not drawn.
        value_range: The value range of images with more than 8 bits.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    draw_confusions(folder, f"{title}: confusion", predictions)
    draw_precision_recall(
        folder / "precision_recall.png",
        f"{title}: precision and recall",
        labels,
        probabilities,
        predictions.classes,
    )
    groups = predictions.groups
    draw_reliability(folder / "reliability.png", f"{title}: reliability", calibration(labels, probabilities, groups))
    draw_abstention(folder / "abstention.png", f"{title}: abstention", abstention(labels, probabilities, groups))
    if root is not None:
        draw_errors(folder / "errors.png", f"{title}: the worst errors", predictions, root, value_range)
