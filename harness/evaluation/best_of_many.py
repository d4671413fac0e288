"""The best of several trials: which others differ from it, and what it is worth without its luck.

Each trial is cross-validated on the same folds. `scores` (T, K) has the mean score of each trial in each fold; a larger
score is better. `images` (K,) has the number of validation images of each fold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import SIGNIFICANCE, Accuracy
from harness.evaluation.groups import Groups
from harness.evaluation.scores import Floats

FEWEST_FREEDOM = 2  # by simulation: with 1, a difference of 10 points is found in 29 to 63 % of studies only
MOST_NOISE = 4.0  # variance of a pair of trials, in units of that of the others
NEAR = 6.0  # standard deviations; a trial that is further below the best says nothing about the best
VALUES = 121  # true scores that the prior distribution has
STEPS = 100  # of the EM algorithm


@dataclass(frozen=True)
class Noise:
    """Noise of a trial's score over all folds: the same settings trained again, and judged on other images.

    Attributes:
        variance: Of one trial's score, without what is common to all trials: the difficulty of a fold's images.
        freedom: Degrees of freedom of the estimate.
        by_image: The part of it that comes from the images about which trials disagree, estimated from these images;
            0 if it is not known.
    """

    variance: float
    freedom: int
    by_image: float = 0.0

    @property
    def at_least(self) -> float:
        """The larger one of both variances: a part cannot be larger than the whole."""
        return max(self.variance, self.by_image)


def noise_between(
    scores: Floats, images: NDArray[np.int64], by_image: Floats | None = None, groups: Groups | None = None
) -> Noise | None:
    """Returns the noise of a trial's score, estimated from the trial × fold interaction; None if it is not known.

    In the model s_tk = μ + trial_t + fold_k + e_tk, the residuals hold the seed of a training and the images about
    which trials disagree. Folds are trained independently, so the residuals show both. The mean square of the
    interaction has (T - 1) (K - 1) degrees of freedom (Scheffé 1959, The Analysis of Variance, chapter 4).

    Folds of different size have weights w_k, their share of the images. The variance of a weighted mean is
    S / (1 - S) Σ w_k r_tk² / (T - 1) with S = Σ w_k². It is unbiased if e_tk has the same variance in each fold. If the
    variance is proportional to 1 / w_k, it is a little too large. With equal folds both are the usual mean square.

    Only the best half of the trials counts, see `trials_for_noise`. Residuals are independent of the trials' means, so
    a choice by means leaves them as they are. Trials that failed to converge vary most between folds, and would hide
    the differences between all others: in the simulation, a trial that is 6 points worse was then found in 54 to 70 %
    of studies, and in 97 % without them.

    Args:
        scores: (T, K) of complete trials, best first; rows with infinite or missing values are left out.
        images: (K,).
        by_image: (R, N) score of each image, of the first R trials at least; None if the metric is no mean over images.
        groups: (N,) the group of each image; None if all images are independent.
    """
    scores = scores[: trials_for_noise(len(scores))]
    part = 0.0
    if by_image is not None and len(scores) > 1:
        others = by_image[1 : len(scores)]
        part = float(np.mean([_paired_variance(by_image[0] - other, groups) for other in others])) / 2
    scores = scores[np.isfinite(scores).all(1)]
    trials, folds = scores.shape
    freedom = (trials - 1) * (folds - 1)
    if freedom < FEWEST_FREEDOM:
        return None
    weights = images / images.sum()
    rows = scores - (scores @ weights)[:, None]
    residuals = rows - rows.mean(0)
    squares = float((weights * residuals**2).sum()) / (trials - 1)
    return Noise(_concentration(weights) * squares, freedom, part)


def trials_for_noise(complete: int) -> int:
    """Number of the best trials that show the noise: half of the complete ones, from 3 to 10."""
    return min(10, max(3, math.ceil(complete / 2)))


def compare_with_best(
    scores: Floats,
    images: NDArray[np.int64],
    noise: Noise,
    trials: int,
    by_image: Floats | None = None,
    groups: Groups | None = None,
) -> Floats:
    """Returns the probability of each difference from the first trial, or a larger one, if all trials are equal.

    It is corrected for all pairs of `trials` trials, because the best one was found by looking at all of them: the
    largest difference between equal trials has the distribution of the studentized range (Tukey 1953). Two tests are
    made, and the larger p counts:

    - With the noise between trials and folds. It holds the seed's part. If the two trials vary more from fold to fold
      than the others, the mean of both variances is taken: some settings have noisier trainings than others. In the
      simulation (0.3 and 2 points, 0.5 and 3), equal trials were called different in 9 to 15 % of studies without this
      rule, and in 3 to 8 % with it. A pair's own variance counts as at most `MOST_NOISE` times that of the others: a
      trial that failed to converge varies so much that nothing would differ from it.
    - With the images of both trials, paired. It holds no seed, but a model of another kind disagrees about more images.

    Args:
        scores: (R, K), the best trial first.
        images: (K,).
        noise: From `noise_between`.
        trials: Number of trials that could have become the best; also those that were pruned.
        by_image: (R, N) score of each image; None if the metric is no mean over images.
        groups: (N,) the group of each image; None if all images are independent.

    Returns:
        (R,) p-values; NaN for a score that is not finite.
    """
    weights = images / images.sum()
    scores = np.where(np.isfinite(scores).all(1, keepdims=True), scores, np.nan)
    values = scores @ weights
    differences = values[0] - values
    own = _concentration(weights) * ((scores[0] - scores - differences[:, None]) ** 2 @ weights) / 2
    own = np.clip(own, noise.variance, MOST_NOISE * noise.variance)
    p = _range_test(differences, (noise.variance + own) / 2, trials, noise.freedom)
    if by_image is not None:
        variances = np.array([_paired_variance(by_image[0] - each, groups) for each in by_image]) / 2
        p = np.maximum(p, _range_test(differences, variances, trials, np.inf))
    p[0] = 1.0
    return p


def least_difference(noise: Noise, trials: int) -> float:
    """Returns the smallest difference from the best trial that is significant by both tests (Tukey 1953)."""
    from scipy.stats import studentized_range

    parts = ((noise.variance, noise.freedom), (noise.by_image, np.inf))
    return max(
        float(studentized_range.isf(SIGNIFICANCE, max(2, trials), freedom)) * math.sqrt(variance)
        for variance, freedom in parts
    )


def score_without_luck(scores: Floats, images: NDArray[np.int64], noise: Noise) -> float:
    """Returns the expected score of the best complete trial, if its settings are trained and judged again.

    The best of many trials is better than its settings by luck. Empirical Bayes takes the luck out: the distribution of
    the trials' true scores is estimated from all trials, and with it the mean true score of one that looks like the
    best (Efron 2011, Tweedie's formula and selection bias, JASA 106). The distribution has any form (Laird 1978, JASA
    73, by the EM algorithm). So a few bad trials do not widen it, and a trial that is far better than all others keeps
    its score. Trials that were pruned count with the folds that they had: without them, the first folds of the others
    would look too good.

    Args:
        scores: (T, K); NaN where a trial has no such fold. One row at least is complete.
        images: (K,).
        noise: From `noise_between`.
    """
    weights = images / images.sum()
    scores = scores[~np.isinf(scores).any(1) & ~np.isnan(scores).all(1)]
    complete = ~np.isnan(scores).any(1)
    values = np.where(complete, np.nan_to_num(scores) @ weights, -np.inf)
    best = int(values.argmax())
    if noise.at_least == 0:
        return float(values[best])
    shares = ~np.isnan(scores) * weights
    counts = shares.sum(1)  # (T,) share of all images that a trial was judged on
    means = _above_folds(scores, shares, scores[complete].mean(0))
    near = means >= means[best] - NEAR * np.sqrt(noise.at_least / counts)
    return float(values[best]) - _luck(scores[near], shares[near], noise.at_least, int(near[:best].sum()))


def scores_on_equal_folds(scores: Floats, images: NDArray[np.int64]) -> Floats:
    """Returns (T,) the mean score of each trial, less the difficulty of its folds, which may not be all of them.

    Trials and folds have additive effects, fitted by weighted least squares. A trial with an infinite score keeps the
    infinity, and one without any score gets NaN.

    Args:
        scores: (T, K); NaN where a trial has no such fold.
        images: (K,).
    """
    finite = ~np.isinf(scores).any(1) & ~np.isnan(scores).all(1)
    values = np.where(np.isinf(scores).any(1), np.nansum(scores, 1), np.nan)
    known, means = scores[finite], np.zeros(int(finite.sum()))
    shares = ~np.isnan(known) * (images / images.sum())
    for _ in range(STEPS):
        means = _above_folds(known, shares, _above_folds(known.T, shares.T, means))
    values[finite] = means
    return values


def accuracy_without_luck(best: Accuracy, value: float, noise: Noise) -> Accuracy:
    """Returns the accuracy `value` of the best trial without its luck, with an interval that counts its noise.

    The variance of a share of independent images is v (1 - v) / n. The noise of the trial is added, since its settings
    will be trained with another seed. Wilson's interval gets the number of images that this variance is worth.

    Args:
        best: The best trial's accuracy as it was measured; its groups count as in its own interval.
        value: From `score_without_luck`; 0 to 1.
        noise: From `noise_between`.
    """
    value = min(1.0, max(0.0, value))
    images = float(best.n) if best.effective is None else best.effective
    spread = value * (1 - value)
    effective = 1 / (1 / images + noise.at_least / spread) if spread else images
    return Accuracy(value * best.n, best.n, best.groups, effective)


def _concentration(weights: Floats) -> float:
    """S / (1 - S) of the folds' weights, see `noise_between`."""
    total = float((weights**2).sum())
    return total / (1 - total)


def _range_test(differences: Floats, variances: Floats, trials: int, freedom: float) -> Floats:
    """(R,) chance that the range of `trials` equal scores with these variances exceeds the differences."""
    from scipy.stats import studentized_range

    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(differences == 0, 0.0, differences / np.sqrt(variances))
    known = np.isfinite(statistic)
    p = np.where(np.isnan(statistic), np.nan, 0.0)  # infinitely many standard errors: 0
    if known.any():
        p[known] = np.clip(studentized_range.sf(statistic[known], max(2, trials), freedom), 0.0, 1.0)
    return p


def _paired_variance(differences: Floats, groups: Groups | None) -> float:
    """Variance of the mean of (N,) differences between two trials, whose groups are independent."""
    n = len(differences)
    if groups is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        differences = np.asarray(np.bincount(numbers, weights=differences - differences.mean()), float)
    count = len(differences)
    if count < 2:
        return float("nan")
    return float(((differences - differences.mean()) ** 2).sum()) / n**2 * count / (count - 1)


def _above_folds(scores: Floats, shares: Floats, folds: Floats) -> Floats:
    """(T,) weighted mean of each row above the effects of its columns (K,); NaN is left out, and 0 for an empty row."""
    means: Floats = (shares * np.nan_to_num(scores - folds)).sum(1) / np.maximum(shares.sum(1), 1e-9)
    return means


def _luck(scores: Floats, shares: Floats, variance: float, best: int) -> float:
    """By how much the trial in row `best` is better than its expected true score. `shares` (T, K) are of all images."""
    folds = scores[~np.isnan(scores).any(1)].mean(0)
    means = expected = _above_folds(scores, shares, folds)
    truths = np.linspace(means.min(), means.max(), VALUES)
    prior = np.full(VALUES, 1 / VALUES)
    for _ in range(STEPS):
        exponents = -((means[:, None] - truths) ** 2) * shares.sum(1)[:, None] / (2 * variance)
        posterior = np.exp(exponents - exponents.max(1, keepdims=True)) * prior
        posterior /= posterior.sum(1, keepdims=True)
        prior, expected = posterior.mean(0), posterior @ truths
        folds = _above_folds(scores.T, shares.T, expected)
        means = _above_folds(scores, shares, folds)
    return max(0.0, float(means[best] - expected[best]))
