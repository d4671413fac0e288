"""Tests whether two sets of images differ: a classifier tries to distinguish them by their features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Z95
from harness.evaluation.cross_fit import Features, cross_fit_sides, fit_head, one_thread
from harness.evaluation.scores import Floats, Indices

MOST = 5000  # maximum number of images of each set
FOLDS = 5
STRENGTHS = (1e-4, 1e-2, 1.0)  # values of C: only the order of the scores matters, and it changes slowly with C
CROSS_FITTING = 2.0  # variance of the mean AUC of folds, relative to that of independent folds, see `tell_apart`


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve of a classifier for two sets: 0.5 for no difference, 1 for a perfect distinction.

    Attributes:
        value: Probability that a random image of the second set has the higher score, with half of the ties.
        interval: Its 95 % interval.
        n: Number of images of each set that were used.
    """

    value: float
    interval: tuple[float, float]
    n: tuple[int, int]


def tell_apart(
    first: Features, second: Features, seed: int = 0, groups: tuple[Indices, Indices] | None = None
) -> Auc | None:
    """Tests how well a logistic regression distinguishes two sets: a classifier two-sample test.

    From Lopez-Paz and Oquab 2017 (Revisiting Classifier Two-Sample Tests, ICLR), but with the AUC in place of the
    accuracy, because the sets have different sizes. Both sets have the same weight. At most 5,000 random images of each
    set are used.

    The AUC is computed in each of five folds and averaged. Scores of different folds are not pooled, because a fold
    that differs from the others by chance has shifted scores. Pooled, 15 and 20 images of the same kind have an AUC of
    0.48 on average, and 15 and 15 images with one image per fold have 0.44.

    The interval is Newcombe's score interval (2006, Statistics in Medicine 25, 559, method 5) with twice his variance.
    It stays between 0 and 1, and has a width even if the AUC is 1. Cross-fitting is the reason for the factor of two.
    If the sets do not differ, the AUC of fold i is 0.5 plus a sum over all other folds j: the product of the
    differences between the sets in i and in j. Fold j has the same product, so the sum over all folds has twice the
    variance of independent folds.

    It was simulated with `scripts/simulate alike`. For sets that do not differ, 0.5 is outside the interval in:

    - 6 % of 1,000 pairs with 35 and 949 images, and 8 % of 200 pairs with 15 and 949
    - 4 % of 150 pairs with 15 and 20 images, and 5 % with 200 and 200
    - 7 % of 150 pairs with every image three times, and 1 % with 64 features or with three images

    The whole interval is above 0.5 in at most 3 % of each. For sets that differ, the interval covers the mean AUC in 97
    to 98 %: cross-fitting adds less variance there, so the interval is slightly too wide.

    Args:
        first: (N, F) features, finite.
        second: (M, F).
        seed: Of the folds and of the random sample.
        groups: (N,) and (M,). Images with the same number, such as copies, are in one fold, also if they are in
            different sets. The interval treats groups, not images, as independent. None if all images are independent.

    Returns:
        The AUC; None if a set has fewer than two images or groups, or no fold has both sets.
    """
    random = np.random.default_rng(seed)
    chosen = [np.sort(random.permutation(len(side))[:MOST]) for side in (first, second)]
    counts = (len(chosen[0]), len(chosen[1]))
    labels = np.repeat([0, 1], counts)
    members = None if groups is None else np.concatenate([own[rows] for own, rows in zip(groups, chosen, strict=True)])
    units = (
        [float(count) for count in counts] if members is None else [_effective(members[labels == k]) for k in (0, 1)]
    )
    features = np.concatenate([first[chosen[0]], second[chosen[1]]])
    least = min(len(np.unique(members[labels == k])) if members is not None else counts[k] for k in (0, 1))
    if least < 2:
        return None
    areas, pairs = [], []
    with one_thread():
        for training, test in cross_fit_sides(labels, members, min(FOLDS, least), seed):
            number = np.bincount(labels[test], minlength=2)
            head = fit_head(
                features, labels, members, training, seed, most=len(labels), is_balanced=True, strengths=STRENGTHS
            )
            if head is not None and number.all():
                areas.append(_area(labels[test], head.scores(features, test)))
                pairs.append(int(number.prod()))
    if not areas:
        return None
    value = float(np.average(areas, weights=pairs))
    return Auc(value, auc_interval(value, units[0], units[1], CROSS_FITTING), counts)


def auc_interval(value: float, first: float, second: float, factor: float = 1.0) -> tuple[float, float]:
    """Returns Newcombe's 95 % score interval of an AUC (2006, method 5): all θ with |AUC - θ| <= z √(factor V(θ)).

    V is Hanley and McNeil's variance (1982) with the mean of both numbers of images in place of each. So the interval
    of 1 - AUC is the mirror image of that of the AUC.

    Args:
        value: The AUC.
        first: Number of images in one set.
        second: Number of images in the other set.
        factor: Multiplies the variance.
    """

    def variance(theta: float) -> float:
        shared = (first + second) / 2 - 1
        spread = 1 + shared * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return factor * theta * (1 - theta) * spread / (first * second)

    def end(edge: float) -> float:
        inside, outside = value, edge
        for _ in range(60):  # bisection, down to the rounding of 64 bits
            middle = (inside + outside) / 2
            if abs(value - middle) <= Z95 * math.sqrt(variance(middle)):
                inside = middle
            else:
                outside = middle
        return outside if inside == edge else inside

    return end(0.0), end(1.0)


def _effective(groups: Indices) -> float:
    """Returns the effective number of independent images, (Σ n_g)² / Σ n_g² (Kish 1965); 0 without images."""
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def _area(labels: NDArray[np.integer], scores: Floats) -> float:
    """Returns the probability that a random score of label 1 is above one of label 0, with half of the ties."""
    from scipy.stats import rankdata

    second = labels == 1
    number, others = int(second.sum()), int((~second).sum())
    return float((rankdata(scores)[second].sum() - number * (number + 1) / 2) / (number * others))
