"""Two models on the same images: their difference with its interval, an exact test, and the images that it takes.

The models are taken as they are. The noise of training is not in these numbers: another seed gives another model.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import SIGNIFICANCE, Z95, Accuracy
from harness.evaluation.groups import Groups, accuracy_of, effective_images, paired_test, sign_flip_test
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import Floats

POWER = 0.8  # chance to see a difference, for the number of images that it takes (Cohen 1988)


@dataclass(frozen=True)
class Shared:
    """The images that two models have both predicted.

    Attributes:
        paths: (n,) of the first model's predictions.
        right: (n, 2) the share of right predictions of each image by each model: 0 or 1, unless several models of one
            run have predicted the image.
        groups: (n,) images with the same number are not independent; None if all are.
        scale: (n, 2) is a whole number after multiplication by it.
    """

    paths: tuple[str, ...]
    right: Floats
    groups: Groups | None
    scale: int = 1

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Comparison:
    """Two models on n images; differences are those of the first minus the second.

    Attributes:
        first: Accuracy of the first model on these images.
        second: Accuracy of the second one.
        better: Images that the first model alone has right (more often, if an image has several predictions).
        worse: Images that the second model alone has right.
        interval: 95 % interval of the difference.
        p: The probability of such a difference, or a larger one, by chance alone; two-sided.
        squares: Mean square of an image's difference; the share of images that one model alone has right.
        effective: Number of independent images that the n are worth.
    """

    first: Accuracy
    second: Accuracy
    better: int
    worse: int
    interval: tuple[float, float]
    p: float
    squares: float
    effective: float

    @property
    def n(self) -> int:
        return self.first.n

    @property
    def difference(self) -> float:
        """Accuracy of the first model minus that of the second."""
        return self.first.value - self.second.value

    def images_needed(self, level: float = SIGNIFICANCE) -> int | None:
        """Returns about how many images, in all, would show a difference of this size; None if there is none.

        It is the number with which McNemar's test at `level` finds it with a chance of 80 % (Connor 1987, Biometrics
        43), times the design effect of groups.
        """
        difference = abs(self.difference)
        if difference < 1e-12:
            return None
        from scipy.special import ndtri

        spread = math.sqrt(max(0.0, self.squares - difference**2))
        root = float(ndtri(1 - level / 2)) * math.sqrt(self.squares) + float(ndtri(POWER)) * spread
        return math.ceil((root / difference) ** 2 * self.n / self.effective)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{100 * self.difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}, n = {self.n}; "
            f"p {self.p:.2g}): right where the other is wrong on {self.better}, wrong where it is right on {self.worse}"
        )


def compare(first: Predictions, second: Predictions) -> Comparison:
    """Compares two models on the images that both predict; there must be one at least.

    The p-value is McNemar's exact test; with groups, or several predictions of an image, its permutation form.
    """
    return compare_shared(shared_images(first, second))


def shared_images(first: Predictions, second: Predictions) -> Shared:
    """The images that both predict, with the same true class, in the order of the first; groups are those of the first.

    An image is known by its decoded pixels if both predictions have fingerprints, else by its path. Predictions of the
    same image by one side are averaged.
    """
    pixels = first.fingerprints is not None and second.fingerprints is not None
    one, other = _Counts(first, pixels), _Counts(second, pixels)
    keys = [key for key in one.rows if key in other.rows]
    counts = np.array([(one.counts[one.rows[key]], other.counts[other.rows[key]]) for key in keys], np.int64)
    right = np.array([(one.right[one.rows[key]], other.right[other.rows[key]]) for key in keys], float)
    chosen = [one.first[one.rows[key]] for key in keys]
    groups = None if first.groups is None else first.groups[chosen]
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    scale = int(np.lcm.reduce(np.unique(counts))) if len(keys) else 1
    return Shared(
        tuple(first.paths[i] for i in chosen),
        (right / counts if len(keys) else np.zeros((0, 2))),
        groups,
        scale,
    )


def compare_shared(shared: Shared) -> Comparison:
    """Compares two models on images that both have predicted; there must be one at least.

    The interval of the difference is that of Bonett and Price (2012, Journal of Educational and Behavioral Statistics
    37) for paired proportions, with the number of independent images that groups are worth. In `tests` it covers the
    true difference in 93 to 97 % of simulated cases.
    """
    n, groups = len(shared), shared.groups
    gaps = shared.right[:, 0] - shared.right[:, 1]
    squares = float((gaps**2).mean())
    effective = float(n) if groups is None else _effective(gaps, groups)
    if shared.scale == 1:
        right = shared.right > 0.5
        p = paired_test(right[:, 0], right[:, 1], groups)
        accuracies = [accuracy_of(right[:, i], groups) for i in (0, 1)]
    else:
        whole = np.rint(gaps * shared.scale).astype(np.int64)
        p = sign_flip_test(whole, np.arange(n) if groups is None else groups)
        accuracies = [_mean_accuracy(shared, i) for i in (0, 1)]
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    return Comparison(
        accuracies[0],
        accuracies[1],
        better,
        worse,
        _interval(float(gaps.mean()), squares, effective),
        p,
        squares,
        effective,
    )


class _Counts:
    """How often each image of some predictions was predicted, and how often rightly; by image, in order."""

    def __init__(self, predictions: Predictions, pixels: bool) -> None:
        self._predictions = predictions
        self.rows: dict[Hashable, int] = {}
        names: Any = predictions.fingerprints.tolist() if pixels else predictions.paths  # type: ignore[union-attr]
        classes = [predictions.classes[label] for label in predictions.labels.tolist()]
        numbers = [self.rows.setdefault(key, len(self.rows)) for key in zip(names, classes, strict=True)]
        self._numbers = np.array(numbers, np.int64)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        return np.bincount(self._numbers)

    @cached_property
    def right(self) -> Floats:
        return np.asarray(np.bincount(self._numbers, weights=self._predictions.right), float)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """The row of each image's first prediction."""
        return np.unique(self._numbers, return_index=True)[1]


def _mean_accuracy(shared: Shared, side: int) -> Accuracy:
    """The accuracy of one model, or of several models of one run by their mean."""
    weights = np.rint(shared.right[:, side] * shared.scale).astype(np.int64)
    n, scale = len(shared), shared.scale
    right = (np.arange(scale) < weights[:, None]).reshape(-1)  # each image `scale` times
    numbers = np.arange(n) if shared.groups is None else shared.groups
    return accuracy_of(right, np.repeat(numbers, scale), n)


def _effective(gaps: Floats, groups: Groups) -> float:
    """Number of independent images that give an interval of the same width.

    There is one such number for each of the two models being the better one; the smaller number counts.
    """
    numbers = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(numbers).astype(float)
    parts = [np.asarray(np.bincount(numbers, weights=np.maximum(sign * gaps, 0)), float) for sign in (1, -1)]
    return min(effective_images(part, counts) for part in parts)


def _interval(difference: float, squares: float, n: float) -> tuple[float, float]:
    """Bonett and Price: one imaginary image for each of the two outcomes."""
    centre = difference * n / (n + 2)
    half = Z95 * math.sqrt(((squares * n + 2) / (n + 2) - centre**2) / (n + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)
