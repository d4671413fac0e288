"""Predictions in the compact form of a report: a few numbers per image, also if there are many classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import Floats, Indices
from harness.runs.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Answers:
    """N predictions without their table of probabilities.

    Attributes:
        classes: Names of the classes.
        paths: (N,) paths relative to the folder of the images.
        folds: (N,) fold of the model; 0 for a model that belongs to no fold.
        labels: (N,) true class indices.
        said: (N,) predicted class indices.
        confidence: (N,) probability of the predicted class.
        of_true: (N,) probability of the true class.
        groups: (N,) group numbers; images of a group are not independent. None if all images are independent.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    folds: Indices
    labels: Indices
    said: Indices
    confidence: Floats
    of_true: Floats
    groups: Indices | None

    @classmethod
    def of(cls, predictions: Predictions) -> Answers:
        """Returns `predictions` in this form, in the same order."""
        predicted = predictions.predicted
        return cls(
            predictions.classes,
            predictions.paths,
            predictions.folds,
            predictions.labels,
            predicted,
            predictions.probabilities[np.arange(len(predictions)), predicted],
            predictions.of_true_class,
            predictions.groups,
        )

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """Returns all parts as one. There must be at least one part, and all must have the same classes."""
        known = [part.groups for part in parts if part.groups is not None]
        return cls(
            parts[0].classes,
            tuple(path for part in parts for path in part.paths),
            np.concatenate([part.folds for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.said for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.of_true for part in parts]),
            np.concatenate(known) if len(known) == len(parts) else None,
        )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true one."""
        right: NDArray[np.bool_] = self.said == self.labels
        return right

    @property
    def cells(self) -> Indices:
        """(N,) cell numbers in the confusion matrix: true class times the number of classes, plus predicted class."""
        cells: Indices = self.labels * len(self.classes) + self.said
        return cells

    @property
    def images(self) -> int:
        """The number of different images. With repeats, an image has several predictions."""
        return len({*self.paths})


def answers_in(folder: RunFolder) -> Answers | None:
    """Returns the predictions of the folds in the record, or None if there are none.

    Reads one fold at a time, to save memory. Raises UsageError if a file of predictions is damaged.
    """
    folds = [entry.fold for entry in folder.record.folds]
    tables = (folder.predictions(fold) for fold in folds) if folds else iter([folder.predictions()])
    parts = [Answers.of(table) for table in tables if len(table)]
    return Answers.join(parts) if parts else None
