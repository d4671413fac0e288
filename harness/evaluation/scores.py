"""What a set of predictions says, class by class: plain arrays in, plain numbers out.

Everywhere, `labels` and `predicted` are class indices, shape (N,), and `probabilities` has the shape (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


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


def log_loss(labels: Indices, probabilities: Floats) -> float:
    """The mean cross-entropy, natural logarithm; of a probability that is 0 in 64 bits, that of the smallest number."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())
