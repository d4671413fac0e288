"""What a report needs of predictions: a few numbers an image, whatever the number of classes."""

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
        classes: Names.
        paths: (N,) below the folder of the images.
        folds: (N,) fold of the model; 0 for a model of no fold.
        labels: (N,) true class indices.
        said: (N,) predicted class indices.
        confidence: (N,) probability of the predicted class.
        of_true: (N,) probability of the true class.
        groups: (N,) images with the same number are not independent; None if all are.
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
    def of(cls, found: Predictions) -> Answers:
        """Those of `found`, in the same order."""
        rows = np.arange(len(found))
        said = found.predicted
        confidence = found.probabilities[rows, said]
        return cls(
            found.classes, found.paths, found.folds, found.labels, said, confidence, found.of_true_class, found.groups
        )

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """All parts, one after the other. They must be of the same classes, and there must be one at least."""
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
        """(N,) number of the cell of the confusion matrix: true class times the number of classes, plus predicted."""
        cells: Indices = self.labels * len(self.classes) + self.said
        return cells

    @property
    def images(self) -> int:
        """Number of different images: with repeats, each has several predictions."""
        return len({*self.paths})


def answers_in(folder: RunFolder) -> Answers | None:
    """Those of the folds that the record counts, fold by fold, so that no table is copied; None if there are none.

    Raises UsageError if a file of predictions is damaged.
    """
    folds = [entry.fold for entry in folder.record.folds]
    tables = (folder.predictions(fold) for fold in folds) if folds else iter([folder.predictions()])
    parts = [Answers.of(table) for table in tables if len(table)]
    return Answers.join(parts) if parts else None
