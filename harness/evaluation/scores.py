"""Scores of each class: functions of arrays that return numbers.

In all functions, `labels` and `predicted` are class indices, shape (N,), and `probabilities` has the shape
(N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class. A score is None if its denominator is 0."""

    name: str
    precision: float | None  # fraction of the images predicted as this class that belong to it
    recall: float | None  # fraction of the images of this class that are predicted as it
    f1: float | None  # the harmonic mean of the two
    support: int  # number of images of this class

    def to_dict(self) -> dict[str, float | int | None]:
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "support": self.support}


def confusion(labels: Indices, predicted: Indices, classes: int) -> Indices:
    """Returns (classes, classes) counts: one row per true class, one column per predicted class."""
    counted: Indices = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counted.reshape(classes, classes)


def by_class(labels: Indices, predicted: Indices, names: tuple[str, ...]) -> list[ClassScore]:
    """Returns precision, recall, F1 and support of each class, in the order of `names`."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, predicted, labels=range(len(names)), zero_division=np.nan, average=None
    )
    *shares, support = (column.tolist() for column in columns)
    counts = map(int, support)
    rows = zip(names, *([None if np.isnan(v) else v for v in column] for column in shares), counts, strict=True)
    return [ClassScore(*row) for row in rows]


def precision_recall(labels: Indices, probabilities: Floats, of: int) -> tuple[Floats, Floats, float]:
    """Returns (precision, recall, average precision) of the class `of` against the others, over all thresholds.

    There must be at least one image of that class.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    truth, scores = labels == of, probabilities[:, of]
    precision, recall, _ = precision_recall_curve(truth, scores)
    return precision, recall, float(average_precision_score(truth, scores))


def log_loss(labels: Indices, probabilities: Floats) -> float:
    """Returns the mean cross-entropy (natural logarithm). A probability of 0 counts as the smallest normal float64."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())
