"""`Predictions`: outputs of models for images that they were not trained on, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.groups import accuracy_of
from harness.evaluation.scores import Floats, Indices


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of N images, stored as arrays.

    Attributes:
        classes: Names, in the order of the columns of `probabilities`.
        paths: (N,) relative to the folder of the images.
        folds: (N,) the fold, from 1, in which the image was validated; 0 for a model without a fold.
        labels: (N,) true class indices.
        probabilities: (N, classes) softmax of the logits, 64-bit.
        groups: (N,) images with the same number are not independent; None if all are.
        fingerprints: (N,) equal if and only if the decoded pixels of two images are equal; None if unknown.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    folds: Indices
    labels: Indices
    probabilities: Floats
    groups: Indices | None = None
    fingerprints: Indices | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        if self.probabilities.shape != (n, len(self.classes)) or self.labels.shape != (n,) or self.folds.shape != (n,):
            raise ValueError("paths, folds, labels and probabilities are not for the same images and classes")
        for each in (self.groups, self.fingerprints):
            if each is not None and each.shape != (n,):
                raise ValueError("paths, groups and fingerprints are not for the same images")

    def __repr__(self) -> str:
        return f"Predictions({len(self.paths)} images of {len(self.classes)} classes)"

    @classmethod
    def none(cls, classes: Sequence[str]) -> Predictions:
        """Returns predictions of no images."""
        empty = np.zeros(0, np.int64)
        return cls(tuple(classes), (), empty, empty, np.zeros((0, len(classes))))

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        """Concatenates predictions. They must have the same classes, and `parts` must not be empty."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            parts[0].classes,
            tuple(path for part in parts for path in part.paths),
            np.concatenate([part.folds for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            _joined([part.groups for part in parts]),
            _joined([part.fingerprints for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def predicted(self) -> Indices:
        """(N,) the most probable class of each image; of equal ones, the first."""
        classes: Indices = self.probabilities.argmax(1) if len(self) else np.zeros(0, np.int64)
        return classes

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true one."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def accuracy(self) -> Accuracy:
        """The accuracy of all predictions, of which there must be at least one. Its n counts different images."""
        return accuracy_of(self.right, self.groups, len({*self.paths}))

    @property
    def of_true_class(self) -> Floats:
        """(N,) the probability of the true class."""
        probabilities: Floats = self.probabilities[np.arange(len(self)), self.labels]
        return probabilities

    def keys(self, with_fold: bool) -> list[tuple[str, int]]:
        """Returns (N,) a key for each prediction: its path, and its fold if `with_fold`, else 0."""
        return list(zip(self.paths, self.folds.tolist() if with_fold else [0] * len(self), strict=True))

    def of_fold(self, fold: int) -> Predictions:
        """Returns the predictions of one fold, in the same order."""
        chosen = np.flatnonzero(self.folds == fold)
        if len(chosen) == len(self):
            return self
        paths = tuple(self.paths[i] for i in chosen)
        groups, fingerprints = (None if each is None else each[chosen] for each in (self.groups, self.fingerprints))
        return Predictions(
            self.classes,
            paths,
            self.folds[chosen],
            self.labels[chosen],
            self.probabilities[chosen],
            groups,
            fingerprints,
        )

    def __eq__(self, other: object) -> bool:
        """Returns whether both have the same images and classes and bit-identical values."""
        return (
            isinstance(other, Predictions)
            and (self.classes, self.paths) == (other.classes, other.paths)
            and np.array_equal(self.folds, other.folds)
            and np.array_equal(self.labels, other.labels)
            and np.array_equal(self.probabilities, other.probabilities)
            and (self.groups is None) == (other.groups is None)
            and (self.groups is None or other.groups is None or np.array_equal(self.groups, other.groups))
        )


def _joined(parts: Sequence[Indices | None]) -> Indices | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
