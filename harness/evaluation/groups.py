"""Images that are not independent: their effective number, and a paired test of groups.

A group is a set of images that depend on each other: copies of one image, or photographs of one patient or place.
`groups` are integers, shape (N,): images with the same number are one group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Z95, Accuracy, paired_exact_test

Floats = NDArray[np.float64]
Right = NDArray[np.bool_]
Groups = NDArray[np.int64]
PRIOR_GROUPS = 1  # by simulation: with 0.5, coverage falls below 93 % in some settings without need
NEGLIGIBLE = 1e-300  # smaller probabilities are dropped: near the smallest float64, they lose their precision


def accuracy_of(right: Right, groups: Groups | None = None, images: int | None = None) -> Accuracy:
    """Returns the accuracy of N predictions, with an interval that treats groups, not images, as independent.

    Args:
        right: (N,) whether a prediction is right; N is at least 1.
        groups: (N,) the group of each prediction; None if all are independent.
        images: Number of images, if several models have predicted each one. The predictions of an image must then be in
            one group.
    """
    n = len(right)
    if images is not None and images < n and groups is not None:
        counts, right_counts = _per_group(right, groups)
        grouped = len(counts) if len(counts) < images else None
        return Accuracy(float(right.mean()) * images, images, grouped, effective_images(right_counts, counts))
    if groups is None or len(np.unique(groups)) == n:
        return Accuracy(int(right.sum()), n)
    counts, right_counts = _per_group(right, groups)
    return Accuracy(int(right.sum()), n, len(counts), effective_images(right_counts, counts))


def effective_images(right: Floats, counts: Floats) -> float:
    """Returns the number of independent images that give an interval of the same width, from 1 to N.

    It is N over the design effect, times (z / t)² for few groups (Korn and Graubard 1998, Survey Methodology 24). It is
    used in Wilson's interval, as by Franco et al. 2019 (Journal of Survey Statistics and Methodology 7).

    There are two estimates of the design effect, and the larger one is used:

    - The variance of the accuracy as a ratio estimator of groups (Cochran 1977, Sampling Techniques, 6.3), over the
      variance for independent images.
    - 1 + (L - 1) ρ (Kish 1965, Survey Sampling), where ρ is the correlation within a group (Fleiss and Cuzick 1979,
      Applied Psychological Measurement 3) and L = Σ n_g² / N. L is the design effect if ρ is 1.

    If few groups have an error, both estimates are often too small by chance. So the larger one is averaged with L,
    which has the weight of `PRIOR_GROUPS` groups. Its own weight is the number of groups with evidence, see
    `_evidence`. N over the average, minus 1, is the number of degrees of freedom of t. If all predictions are right, or
    all are wrong, the correlation is unknown, and the result is N / L.

    A simulation used beta-binomial groups (2 to 903, of equal and very unequal sizes), correlations from 0 to 1, and
    accuracies from 50 to 99 %. The interval covers the true accuracy in 98 % of cases on average. In the worst setting
    it is 90 %, and 33 % with the ratio estimator and t alone. In the settings below 93 %, Wilson's interval with the
    true design effect is below 93 % too, for example with 10 independent groups and an accuracy of 99 %.

    Without correlation, the interval is wider than that of independent images: 1.1 to 1.5 times with 100 groups of 10,
    1.7 to 4.9 times with 5 groups of 10, and 3 to 11 times if 4 of 30 groups have nearly all images. If every image
    occurs twice, the interval is 0.6 % wider than that of 300 single images, and 6 % wider than that of 30.

    Args:
        right: (G,) right predictions of each group.
        counts: (G,) images of each group.
    """
    n, number = float(counts.sum()), len(counts)
    share = float(right.sum()) / n
    largest = float((counts**2).sum()) / n
    if share in (0.0, 1.0) or number in (1, n):
        return n / largest
    spread = share * (1 - share)
    wrong = counts - right
    ratio = number / (number - 1) * float(((right - share * counts) ** 2).sum()) / (n * spread)
    correlation = 1 - float((right * wrong / counts).sum()) / ((n - number) * spread)
    measured = max(1.0, ratio, 1 + (largest - 1) * correlation)
    evidence = min(_evidence(counts, right > 0), _evidence(counts, wrong > 0))
    effect = (evidence * measured + PRIOR_GROUPS * largest) / (evidence + PRIOR_GROUPS)
    return max(1.0, n / effect * (Z95 / _student(max(1.0, n / effect - 1))) ** 2)


def paired_test(first: Right, second: Right, groups: Groups | None = None) -> float:
    """Returns the two-sided, exact p of a difference between two models on the same images.

    p is the probability of this difference, or a larger one, if both models are equally good. Without groups it is
    McNemar's exact test. With groups it is the permutation test that swaps the two models in whole groups: under the
    null hypothesis, each group's difference is positive or negative with equal chance (Fisher 1935; Winkler et al. 2014
    on exchangeability within blocks).

    Args:
        first: (N,) whether the first model is right.
        second: (N,) whether the second model is right on the same image.
        groups: (N,) the group of each image; None if all images are independent.
    """
    if groups is None:
        return paired_exact_test(int((first & ~second).sum()), int((second & ~first).sum()))
    return sign_flip_test(first.astype(np.int64) - second, groups)


def sign_flip_test(gaps: Groups, groups: Groups) -> float:
    """Returns the two-sided p of the permutation test that swaps two models in whole groups.

    Args:
        gaps: (N,) integers: how much more the first model has right.
        groups: (N,) the group of each image.
    """
    differences = np.rint(np.bincount(_numbered(groups), weights=gaps)).astype(np.int64)
    differences = differences[differences != 0]
    magnitudes, numbers = np.unique(np.abs(differences), return_counts=True)
    if len(magnitudes) <= 1:
        return paired_exact_test(int((differences > 0).sum()), int((differences < 0).sum()))
    step = np.gcd.reduce(magnitudes)
    total, observed = int(np.abs(differences).sum() // step), abs(int(differences.sum() // step))
    chances, start = _subset_sums(magnitudes // step, numbers)
    tail = chances[: max(0, (total - observed) // 2 + 1 - start)]
    return min(1.0, 2 * float(tail.sum()))


def _per_group(right: Right, groups: Groups) -> tuple[Floats, Floats]:
    """Returns (images, right predictions) of each group, (G,) each."""
    numbers = _numbered(groups)
    counts: Floats = np.bincount(numbers).astype(float)
    return counts, np.asarray(np.bincount(numbers, weights=right), float)


def _numbered(groups: Groups) -> Groups:
    """Returns (N,) the same groups, numbered from 0."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _evidence(counts: Floats, chosen: Right) -> float:
    """Returns the effective number of the chosen groups, as evidence of the correlation.

    It is (Σ n_g)² / Σ n_g² of the chosen groups (Kish 1965). It is limited to their fraction of Σ n_g² times the
    effective number of all groups, because many small groups say little about a few large ones.

    Args:
        counts: (G,) images of each group.
        chosen: (G,) whether the group has the outcome in question; at least one has.
    """
    sizes, squares = counts[chosen], counts**2
    own = float((sizes**2).sum())
    return min(float(sizes.sum()) ** 2 / own, float(counts.sum()) ** 2 * own / float(squares.sum()) ** 2)


def _student(freedom: float) -> float:
    """Returns Student's t for a two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _subset_sums(magnitudes: Groups, numbers: Groups) -> tuple[Floats, int]:
    """Returns the distribution of the sum of a random subset; each magnitude is in it with probability 1/2.

    Only positive numbers are added and multiplied, so small probabilities are as precise as large ones.

    Args:
        magnitudes: (K,) different positive integers.
        numbers: (K,) how often each occurs.

    Returns:
        The probabilities of consecutive sums, and the first of these sums.
    """
    chances, start = np.ones(1), 0
    for magnitude, number in zip(magnitudes.tolist(), numbers.tolist(), strict=True):
        weights, first = _fair_binomial(number)
        sums = np.zeros(len(chances) + magnitude * (len(weights) - 1))
        for i, weight in enumerate(weights.tolist()):
            sums[i * magnitude : i * magnitude + len(chances)] += weight * chances
        chances, dropped = _without_negligible(sums)
        start += magnitude * first + dropped
    return chances, start


def _fair_binomial(n: int) -> tuple[Floats, int]:
    """Returns probabilities of consecutive numbers of heads in n coin tosses, and the first of these numbers."""
    heads = np.arange(n // 2, n)
    upper = np.cumprod(np.concatenate([[1.0], (n - heads) / (heads + 1)]))  # of at least n // 2 heads, up to a factor
    chances = np.concatenate([upper[::-1][: n // 2], upper])
    return _without_negligible(chances / chances.sum())


def _without_negligible(chances: Floats) -> tuple[Floats, int]:
    """Returns the probabilities without negligible ones at both ends, and the number dropped at the start."""
    places = np.flatnonzero(chances > NEGLIGIBLE)
    return chances[places[0] : places[-1] + 1], int(places[0])
