"""Finds the images that several models have all predicted. Each model's answers are arrays with one row per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.groups import Groups
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import Floats, Indices

FINEST = 60  # maximum `Answers.scale`; only unusual numbers of copies and repeats would need more


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one run for N different images. Several predictions of one image are averaged.

    Attributes:
        images: (N,) integers that identify the image; the same for all models.
        labels: (N,) true class indices.
        right: (N,) fraction of right predictions: 0 or 1, unless the image has several predictions.
        scale: `right` times this is an integer; approximately, if that would need more than FINEST.
        said: (N,) the most probable class; of equal ones, the first in the model's order of classes.
        confidence: (N,) its probability.
        of_true_class: (N,) the probability of the true class.
        groups: (N,) images with the same number are not independent; None if all are.
        paths: (N,) the path of each image's first prediction.
        most: Maximum number of predictions of one image.
    """

    images: Indices
    labels: Indices
    right: Floats
    scale: int
    said: Indices
    confidence: Floats
    of_true_class: Floats
    groups: Groups | None
    paths: tuple[str, ...]
    most: int

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class LeftOut:
    """Why images of one model are not compared with another model.

    Attributes:
        other: Position of the other model.
        not_predicted: Number of images that the other model has not predicted.
        other_pixels: Number of images that have the same path but different pixels there.
        other_class: Number of images that have a different true class there.
    """

    other: int
    not_predicted: int
    other_pixels: int
    other_class: int


@dataclass(frozen=True, eq=False)
class Alignment:
    """The n images that all models have predicted, with the same true class, in the order of the first model.

    Attributes:
        rows: For each model, (n,) the rows of its answers.
        paths: (n,) paths of the first model's predictions.
        groups: (n,) images with the same number are not independent according to any model; None if all are.
        left_out: For each model, the reasons why its other images are left out.
    """

    rows: tuple[Indices, ...]
    paths: tuple[str, ...]
    groups: Groups | None
    left_out: tuple[tuple[LeftOut, ...], ...]

    def __len__(self) -> int:
        return len(self.rows[0])


def answers_of(
    predictions: Predictions, classes: Sequence[str] | None = None, images: Indices | None = None
) -> Answers:
    """Returns one row for each image and true class, in the order of the first predictions.

    Args:
        predictions: Of one model or one run, with any number of predictions per image.
        classes: Names in the order of the result's class indices; by default those of the predictions.
        images: (N,) integers that identify each prediction's image. Default: the fingerprints, which must exist.
    """
    images = predictions.fingerprints if images is None else images
    assert images is not None
    position = {name: i for i, name in enumerate(classes or predictions.classes)}
    order = np.array([position[name] for name in predictions.classes], np.int64)
    labels, said = order[predictions.labels], order[predictions.predicted]
    first, rows = _numbered(_pairs(images, labels, len(order)))
    counts = np.bincount(rows, minlength=len(first))
    if len(first) == len(rows):
        right = predictions.right.astype(float)
        confidence, of_true_class = predictions.probabilities.max(1, initial=0.0), predictions.of_true_class
        scale = 1
    else:
        sums = np.bincount(rows, weights=predictions.right)
        columns = [np.bincount(rows, weights=column) / counts for column in predictions.probabilities.T]
        mean = np.stack(columns, 1)
        said, right, scale = order[mean.argmax(1)], sums / counts, _scale(sums.astype(np.int64), counts)
        confidence, of_true_class = mean.max(1), mean[np.arange(len(first)), predictions.labels[first]]
    return Answers(
        images[first],
        labels[first],
        right,
        scale,
        said,
        confidence,
        of_true_class,
        None if predictions.groups is None else predictions.groups[first],
        tuple(predictions.paths[i] for i in first.tolist()),
        int(counts.max(initial=0)),
    )


def named_by_path(sides: Sequence[Sequence[str]]) -> list[Indices]:
    """Returns for each input integers (N,) that are equal if and only if the paths are equal."""
    known: dict[str, int] = {}
    return [np.array([known.setdefault(path, len(known)) for path in paths], np.int64) for paths in sides]


def align(models: Sequence[Answers]) -> Alignment:
    """Finds the images that all models have predicted with the same true class. `models` must not be empty."""
    named, classes = [model.images for model in models], 1 + max(int(m.labels.max(initial=0)) for m in models)
    dense = np.split(np.unique(np.concatenate(named), return_inverse=True)[1], np.cumsum([len(m) for m in models])[:-1])
    keys = [images * classes + model.labels for images, model in zip(dense, models, strict=True)]
    is_common = np.ones(len(keys[0]), bool)
    for other in keys[1:]:
        is_common &= np.isin(keys[0], other)
    rows = [np.flatnonzero(is_common)]
    for other in keys[1:]:
        sorter = np.argsort(other)
        rows.append(sorter[np.searchsorted(other, keys[0][is_common], sorter=sorter)])
    groups = _joined([None if m.groups is None else m.groups[r] for m, r in zip(models, rows, strict=True)])
    paths = tuple(models[0].paths[i] for i in rows[0].tolist())
    return Alignment(tuple(rows), paths, groups, _left_out(models, dense, keys, len(rows[0])))


def common_scale(*scales: int) -> int:
    """Returns the least common multiple of the scales, but at most FINEST."""
    return min(FINEST, int(np.lcm.reduce(np.array(scales, np.int64))))


def _scale(right: Indices, counts: Indices) -> int:
    """Returns the factor that makes all fractions right / counts integers, but at most FINEST."""
    scale = 1
    for part in np.unique(counts // np.gcd(right, counts)).tolist():
        scale = common_scale(scale, min(part, FINEST))
    return scale


def _pairs(images: Indices, labels: Indices, classes: int) -> Indices:
    """Returns (N,) integers that are equal if and only if both the image and the label are equal."""
    dense: Indices = np.unique(images, return_inverse=True)[1].astype(np.int64)
    return dense * classes + labels


def _numbered(keys: Indices) -> tuple[Indices, Indices]:
    """Returns (position of the first of each different key (K,), number of each key (N,)), in order of appearance."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return first[order], number[inverse]


def _joined(parts: Sequence[Groups | None]) -> Groups | None:
    """Returns groups in which two images are together if any of the `parts` puts them together; None without groups."""
    different: list[Groups] = []
    for part in parts:
        if part is None:
            continue
        numbers = _numbered(part)[1]
        if len(np.unique(numbers)) < len(numbers) and not any(np.array_equal(numbers, each) for each in different):
            different.append(numbers)
    if len(different) < 2:
        return different[0] if different else None
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(different[0])
    rows: list[Any] = [np.arange(n)] * len(different)
    starts = n + np.cumsum([0, *(int(numbers.max()) + 1 for numbers in different)])
    columns = np.concatenate([numbers + start for numbers, start in zip(different, starts[:-1], strict=True)])
    size = int(starts[-1])
    graph = coo_array((np.ones(len(columns), bool), (np.concatenate(rows), columns)), (size, size))
    joint: NDArray[Any] = connected_components(graph, directed=False)[1][:n]
    return joint.astype(np.int64)


def _left_out(
    models: Sequence[Answers], dense: Sequence[Indices], keys: Sequence[Indices], n: int
) -> tuple[tuple[LeftOut, ...], ...]:
    """Returns for each model the reasons why its images beyond the n common ones are left out, per other model."""
    paths = [{*model.paths} for model in models] if any(len(model) > n for model in models) else []
    left_out = []
    for at, model in enumerate(models):
        reasons = []
        for other in range(len(models)) if len(model) > n else ():
            lacks = ~np.isin(keys[at], keys[other])
            other_class = lacks & np.isin(dense[at], dense[other])
            gone = np.flatnonzero(lacks & ~other_class).tolist()
            changed = sum(model.paths[i] in paths[other] for i in gone)
            if lacks.any():
                reasons.append(LeftOut(other, len(gone) - changed, changed, int(other_class.sum())))
        left_out.append(tuple(reasons))
    return tuple(left_out)
