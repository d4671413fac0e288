"""Compares two models on the same images: the difference with its interval, an exact test, the images needed.

Each model is taken as it is. These numbers do not include the noise of training: another seed gives another model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.evaluation.accuracy import SIGNIFICANCE, Z95, Accuracy
from harness.evaluation.alignment import Alignment, Answers, align, answers_of, common_scale, named_by_path
from harness.evaluation.groups import Groups, accuracy_of, effective_images, paired_test, sign_flip_test
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import Floats

POWER = 0.8  # chance to detect the difference with the computed number of images (Cohen 1988)


@dataclass(frozen=True)
class Shared:
    """The images that two models have both predicted.

    Attributes:
        paths: (n,) paths of the first model's predictions.
        right: (n, 2) fraction of right predictions of each image by each model: 0 or 1, unless several models of one
            run have predicted the image.
        groups: (n,) images with the same number are not independent; None if all are.
        scale: `right` times this is an integer.
    """

    paths: tuple[str, ...]
    right: Floats
    groups: Groups | None
    scale: int = 1

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Comparison:
    """Two models on n images. Differences are first minus second.

    Attributes:
        first: Accuracy of the first model on these images.
        second: Accuracy of the second model.
        better: Images that only the first model has right (or more often, if an image has several predictions).
        worse: Images that only the second model has right.
        interval: 95 % interval of the difference.
        p: Two-sided probability of this difference, or a larger one, if both models are equally good.
        squares: Mean square of an image's difference: the fraction of images that only one model has right.
        effective: Effective number of independent images.
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
        """Returns about how many images in total would show a difference of this size; None without a difference.

        With this number, McNemar's test at `level` finds the difference in 80 % of cases (Connor 1987, Biometrics 43).
        It is multiplied by the design effect of groups.
        """
        difference = abs(self.difference)
        if difference < 1e-12:
            return None
        from scipy.special import ndtri

        spread = math.sqrt(max(0.0, self.squares - difference**2))
        root = float(ndtri(1 - level / 2)) * math.sqrt(self.squares) + float(ndtri(POWER)) * spread
        return math.ceil((root / difference) ** 2 * self.n / self.effective)

    def more_images(self, level: float = SIGNIFICANCE) -> int | None:
        """Returns `images_needed` minus the existing images, to two digits; at least 1."""
        needed = self.images_needed(level)
        return None if needed is None else int(float(f"{max(1, needed - self.n):.2g}"))

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{100 * self.difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}, n = {self.n}; "
            f"p {self.p:.2g}): only this model is right on {self.better} images, only the other on {self.worse}"
        )


def compare(first: Predictions, second: Predictions) -> Comparison:
    """Compares two models on the images that both have predicted. There must be at least one.

    The p-value is McNemar's exact test; with groups, or several predictions of an image, its permutation form.
    """
    return compare_shared(shared_images(first, second))


def shared_images(first: Predictions, second: Predictions) -> Shared:
    """Returns the images that both have predicted, with the same true class, in the order of the first.

    Images are matched by their decoded pixels if both have fingerprints, else by their paths. Several predictions of
    an image are averaged. Images are in one group if either of the two says so.
    """
    one = other = None
    if first.fingerprints is None or second.fingerprints is None:
        one, other = named_by_path([first.paths, second.paths])
    models = answers_of(first, images=one), answers_of(second, first.classes, other)
    return shared_answers(models, align(models), 0, 1)


def shared_answers(models: Sequence[Answers], found: Alignment, first: int, second: int) -> Shared:
    """Returns two of the `models` on the images that all of them have predicted. `found` is from `align`."""
    columns = [models[i].right[found.rows[i]] for i in (first, second)]
    return Shared(
        found.paths,
        np.stack(columns, 1),
        found.groups,
        common_scale(models[first].scale, models[second].scale),
    )


def compare_shared(shared: Shared) -> Comparison:
    """Compares two models on images that both have predicted. There must be at least one.

    The interval of the difference is that of Bonett and Price (2012, Journal of Educational and Behavioral Statistics
    37) for paired proportions, with the effective number of independent images. In `tests` it covers the true
    difference in 93 to 97 % of simulated cases.
    """
    n, groups = len(shared), shared.groups
    gaps = shared.right[:, 0] - shared.right[:, 1]
    squares = float((gaps**2).mean())
    effective = float(n) if groups is None else _effective(gaps, groups)
    if shared.scale == 1:
        right = shared.right > 0.5
        p = paired_test(right[:, 0], right[:, 1], groups)
    else:
        whole = np.rint(gaps * shared.scale).astype(np.int64)
        p = sign_flip_test(whole, np.arange(n) if groups is None else groups)
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    return Comparison(
        mean_accuracy(shared.right[:, 0], groups, shared.scale),
        mean_accuracy(shared.right[:, 1], groups, shared.scale),
        better,
        worse,
        _interval(float(gaps.mean()), squares, effective),
        p,
        squares,
        effective,
    )


def mean_accuracy(right: Floats, groups: Groups | None, scale: int = 1) -> Accuracy:
    """Returns the accuracy of one model, or the mean of several models of one run.

    Args:
        right: (n,) fraction of right predictions of each image.
        groups: (n,) images with the same number are not independent; None if all are.
        scale: `right` times this is an integer.
    """
    if scale == 1:
        return accuracy_of(right > 0.5, groups)
    n = len(right)
    numbers = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = scale * np.bincount(numbers).astype(float)  # of predictions; those of one image are not independent
    effective = effective_images(np.asarray(scale * np.bincount(numbers, weights=right), float), counts)
    return Accuracy(float(right.sum()), n, len(counts) if len(counts) < n else None, effective)


def _effective(gaps: Floats, groups: Groups) -> float:
    """Returns the number of independent images that give an interval of the same width.

    There is one such number for each of the two models being the better one. The smaller number is returned.
    """
    numbers = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(numbers).astype(float)
    parts = [np.asarray(np.bincount(numbers, weights=np.maximum(sign * gaps, 0)), float) for sign in (1, -1)]
    return min(effective_images(part, counts) for part in parts)


def _interval(difference: float, squares: float, n: float) -> tuple[float, float]:
    """Returns the interval of Bonett and Price, who add one imaginary image for each of the two outcomes."""
    centre = difference * n / (n + 2)
    half = Z95 * math.sqrt(((squares * n + 2) / (n + 2) - centre**2) / (n + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)
