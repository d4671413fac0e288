"""Whether two sets of images look alike: a classifier tries to tell one from the other by their features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Z95
from harness.evaluation.cross_fit import Features, cross_fit_sides, fit_head, one_thread
from harness.evaluation.scores import Floats, Indices

MOST = 5000  # images of a side that are used
FOLDS = 5
STRENGTHS = (1e-4, 1e-2, 1.0)  # values of C: the order of the scores, all that counts here, changes slowly with C
CROSS_FITTING = 2.0  # variance of the mean AUC of folds over that of independent folds, see `tell_apart`


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve of telling two sides apart: 0.5 if they look alike, 1 if they never do.

    Attributes:
        value: Chance that a random image of the second side has the higher score, with half of the ties.
        interval: Its 95 % interval.
        n: Images of each side that were used.
    """

    value: float
    interval: tuple[float, float]
    n: tuple[int, int]


def tell_apart(
    first: Features, second: Features, seed: int = 0, groups: tuple[Indices, Indices] | None = None
) -> Auc | None:
    """Returns how well a logistic regression tells two sides apart: a classifier two-sample test.

    From Lopez-Paz and Oquab 2017 (Revisiting Classifier Two-Sample Tests, ICLR), with the AUC for the accuracy, as
    sides are of unequal sizes. Both sides have the same weight. At most 5,000 random images of a side are used.

    The AUC is computed within each of five folds and averaged. Scores of different folds are not pooled: the more a
    fold differs from the others by chance, the more its scores are shifted against it. Pooled, 15 and 20 images of the
    same kind have an AUC of 0.48 on average, and 15 and 15 images with a fold for each image have 0.44.

    The interval is Newcombe's score interval (2006, Statistics in Medicine 25, 559, method 5) with twice his variance.
    It stays inside 0 to 1 and has a width also if the AUC is 1. The factor is due to cross-fitting. If both sides look
    alike, the AUC of fold i is 0.5 plus a sum over all other folds j: the product of the differences between the sides
    in i and in j. The product is the same in fold j, so the sum over all folds has twice the variance of independent
    folds.

    Simulated as in `scripts/simulate alike`, for sides that look alike, 0.5 is outside the interval in 6 % of 1,000
    pairs with 35 and 949 images, in 8 % of 200 pairs with 15 and 949, and of 150 pairs each in 4 % with 15 and 20, in
    5 % with 200 and 200, in 7 % with every image three times, and in 1 % with 64 features or with three images. The
    whole interval is above 0.5 in at most 3 % each. For sides that differ, the interval holds the mean AUC in 97 to
    98 %: cross-fitting adds less variance there, so the interval is a little too wide.

    Args:
        first: (N, F) features, finite.
        second: (M, F).
        seed: Of the folds and of the choice of images.
        groups: (N,) and (M,). Images with the same number, such as copies, also on different sides, are in one fold.
            Groups count as independent in the interval, not images. None if all images are independent.

    Returns:
        None if a side has fewer than two images or groups, or no fold has both sides.
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
        for training, judged in cross_fit_sides(labels, members, min(FOLDS, least), seed):
            number = np.bincount(labels[judged], minlength=2)
            head = fit_head(
                features, labels, members, training, seed, most=len(labels), is_balanced=True, strengths=STRENGTHS
            )
            if head is not None and number.all():
                areas.append(_area(labels[judged], head.scores(features, judged)))
                pairs.append(int(number.prod()))
    if not areas:
        return None
    value = float(np.average(areas, weights=pairs))
    return Auc(value, auc_interval(value, units[0], units[1], CROSS_FITTING), counts)


def auc_interval(value: float, first: float, second: float, factor: float = 1.0) -> tuple[float, float]:
    """Returns Newcombe's 95 % score interval of an AUC (2006, method 5): all θ with |AUC - θ| <= z √(factor V(θ)).

    V is Hanley and McNeil's variance (1982) with the mean of both numbers of images in place of each, which makes the
    interval of 1 - AUC the mirror image of that of the AUC.

    Args:
        value: The AUC.
        first: Images of one side.
        second: Images of the other side.
        factor: Of the variance.
    """

    def variance(theta: float) -> float:
        shared = (first + second) / 2 - 1
        spread = 1 + shared * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return factor * theta * (1 - theta) * spread / (first * second)

    def end(edge: float) -> float:
        inside, outside = value, edge
        for _ in range(60):  # halves the distance, down to the rounding of 64 bits
            middle = (inside + outside) / 2
            if abs(value - middle) <= Z95 * math.sqrt(variance(middle)):
                inside = middle
            else:
                outside = middle
        return outside if inside == edge else inside

    return end(0.0), end(1.0)


def _effective(groups: Indices) -> float:
    """The number of independent images that groups are worth, (Σ n_g)² / Σ n_g² (Kish 1965); 0 without images."""
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def _area(labels: NDArray[np.integer], scores: Floats) -> float:
    """The chance that a random score of label 1 is above one of label 0, with half of the ties."""
    from scipy.stats import rankdata

    second = labels == 1
    number, others = int(second.sum()), int((~second).sum())
    return float((rankdata(scores)[second].sum() - number * (number + 1) / 2) / (number * others))
