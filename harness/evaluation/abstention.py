"""Abstention: the accuracy of a model that answers only if its confidence is high enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.groups import accuracy_of
from harness.evaluation.scores import Floats, Indices

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # fixed: a threshold chosen on these images is too optimistic


@dataclass(frozen=True)
class Abstention:
    """The answers of a model at one threshold of its confidence, which is the probability of the predicted class.

    Attributes:
        threshold: The minimum confidence of an answer.
        images: Number of images.
        accuracy: Accuracy of the answered images, with its interval; None if no image is answered.
    """

    threshold: float
    images: int
    accuracy: Accuracy | None

    @property
    def answered(self) -> int:
        return 0 if self.accuracy is None else self.accuracy.n

    @property
    def share(self) -> float:
        """Fraction of images that are answered."""
        return self.answered / self.images


def abstention(labels: Indices, probabilities: Floats, groups: Indices | None = None) -> tuple[Abstention, ...]:
    """Returns one row for each of THRESHOLDS.

    Each interval covers its accuracy in 95 % of cases. The rows share images, so they are not independent.

    Args:
        labels: (N,) true class indices; N is 1 or more.
        probabilities: (N, C).
        groups: (N,) the group of each image; None if all images are independent.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    rows = []
    for threshold in THRESHOLDS:
        chosen = np.flatnonzero(confidence >= threshold)
        accuracy = accuracy_of(right[chosen], None if groups is None else groups[chosen]) if len(chosen) else None
        rows.append(Abstention(threshold, len(labels), accuracy))
    return tuple(rows)
