"""What a set of predictions says, class by class and by confidence: plain arrays in, plain numbers out.

Everywhere, `labels` and `predicted` are class indices, shape (N,), and `probabilities` has the shape (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.groups import accuracy_of

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
BINS = 10  # of confidence, equally wide


@dataclass(frozen=True)
class ClassScore:
    """One class. What would be a share of nothing is None."""

    name: str
    precision: float | None  # of those that were called so, the share that are
    recall: float | None  # of those that are, the share that were called so
    f1: float | None  # the harmonic mean of the two
    support: int  # how many there are

    def to_dict(self) -> dict[str, float | int | None]:
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "support": self.support}


@dataclass(frozen=True)
class Calibration:
    """How often the model is right when it is so sure."""

    edges: Floats  # (BINS + 1,) from 0 to 1
    counts: Indices  # (BINS,) images by the probability of the class that was predicted
    confidence: Floats  # (BINS,) mean of that probability; 0 where there are none
    right: Indices  # (BINS,) of those, predicted right
    intervals: Floats  # (BINS, 2) 95 % interval of the share that is right; 0 to 1 where there are none

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini 2015, Guo 2017): the mean gap between confidence and accuracy."""
        some = self.counts > 0
        gaps = np.abs(self.right[some] / self.counts[some] - self.confidence[some])
        return float((gaps * self.counts[some]).sum() / self.counts.sum())


def confusion(labels: Indices, predicted: Indices, classes: int) -> Indices:
    """(classes, classes) counts: a row for each true class, a column for each predicted one."""
    counted: Indices = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counted.reshape(classes, classes)


def by_class(labels: Indices, predicted: Indices, names: tuple[str, ...]) -> list[ClassScore]:
    """Precision, recall, F1 and support of each class, in the order of `names`."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, predicted, labels=range(len(names)), zero_division=np.nan, average=None
    )
    *shares, support = (column.tolist() for column in columns)
    counts = map(int, support)
    rows = zip(names, *([None if np.isnan(v) else v for v in column] for column in shares), counts, strict=True)
    return [ClassScore(*row) for row in rows]


def precision_recall(labels: Indices, probabilities: Floats, of: int) -> tuple[Floats, Floats, float]:
    """(precision, recall, average precision) of telling the class `of` from the others, over all thresholds.

    There must be at least one image of that class.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    truth, scores = labels == of, probabilities[:, of]
    precision, recall, _ = precision_recall_curve(truth, scores)
    return precision, recall, float(average_precision_score(truth, scores))


def calibration(labels: Indices, probabilities: Floats, groups: Indices | None = None) -> Calibration:
    """Images by the probability of their most probable class, in BINS bins; intervals count `groups` as independent."""
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, weights=confidence, minlength=BINS)
    is_right = predicted == labels
    right = np.bincount(places[is_right], minlength=BINS)
    intervals = np.tile([0.0, 1.0], (BINS, 1))
    for place in np.flatnonzero(counts):
        chosen = places == place
        intervals[place] = accuracy_of(is_right[chosen], None if groups is None else groups[chosen]).interval
    return Calibration(np.linspace(0, 1, BINS + 1), counts, sums / np.maximum(counts, 1), right, intervals)


def log_loss(labels: Indices, probabilities: Floats) -> float:
    """The mean cross-entropy, natural logarithm; of a probability that is 0 in 64 bits, that of the smallest number."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())
