"""The best of several trials: which other trials differ from it, and its expected score without selection bias.

Each trial is cross-validated on the same folds. `scores` (T, K) has the mean score of each trial in each fold; higher
is better. `images` (K,) has the number of validation images of each fold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import SIGNIFICANCE, Accuracy
from harness.evaluation.groups import Groups
from harness.evaluation.scores import Floats

FEWEST_FREEDOM = 2  # by simulation: with 1, a difference of 10 points is found in only 29 to 63 % of studies
MOST_NOISE = 4.0  # maximum variance of a pair of trials, in units of the other trials' variance
NEAR = 6.0  # standard deviations; a trial further below the best has no influence on the estimate
VALUES = 121  # true scores in the prior distribution
STEPS = 100  # iterations of the EM algorithm


@dataclass(frozen=True)
class Noise:
    """Noise of a trial's score over all folds: how much it changes with the seed and the choice of images.

    Attributes:
        variance: Of one trial's score, without what all trials have in common: the difficulty of a fold's images.
        freedom: Degrees of freedom of the estimate.
        by_image: The part that comes from images about which the trials disagree, estimated from these images; 0 if
            unknown.
    """

    variance: float
    freedom: int
    by_image: float = 0.0

    @property
    def at_least(self) -> float:
        """The larger of both variances, because the whole cannot be smaller than its part."""
        return max(self.variance, self.by_image)


def noise_between(
    scores: Floats, images: NDArray[np.int64], by_image: Floats | None = None, groups: Groups | None = None
) -> Noise | None:
    """Returns the noise of a trial's score, estimated from the trial × fold interaction; None if it is unknown.

    The model is s_tk = μ + trial_t + fold_k + e_tk. Its residuals contain the seed of the training and the images about
    which trials disagree. Folds are trained independently, so the residuals show both. The mean square of the
    interaction has (T - 1) (K - 1) degrees of freedom (Scheffé 1959, The Analysis of Variance, chapter 4).

    Folds of different size have weights w_k, their share of the images. The variance of a weighted mean is
    S / (1 - S) Σ w_k r_tk² / (T - 1) with S = Σ w_k². It is unbiased if e_tk has the same variance in each fold. If the
    variance is proportional to 1 / w_k, it is a little too large. With equal folds both are the usual mean square.

    Only the best half of the trials is used, see `trials_for_noise`. Residuals are independent of the trials' means, so
    this selection by means does not bias them. Trials that failed to converge vary most between folds, and would hide
    the differences between all others. In the simulation, a trial that is 6 points worse was then found in 54 to 70 %
    of studies, and without them in 97 %.

    Args:
        scores: (T, K) of complete trials, best first; rows with infinite or missing values are left out.
        images: (K,).
        by_image: (R, N) score of each image, of at least the first R trials; None if the metric is not a mean.
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
    """Returns the number of the best trials that estimate the noise: half of the complete ones, from 3 to 10."""
    return min(10, max(3, math.ceil(complete / 2)))


def compare_with_best(
    scores: Floats,
    images: NDArray[np.int64],
    noise: Noise,
    trials: int,
    by_image: Floats | None = None,
    groups: Groups | None = None,
) -> Floats:
    """Returns the probability of each difference from the first trial, or a larger one, if all trials are equally good.

    It is corrected for all pairs of `trials` trials, because the best trial was selected from all of them: the largest
    difference between equally good trials has the distribution of the studentized range (Tukey 1953). There are two
    tests, and the larger p is returned:

    - With the noise between trials and folds, which includes the seed. If the two trials vary more between folds than
      the others, the mean of both variances is used, because some settings have noisier trainings. In the simulation
      (0.3 and 2 points, 0.5 and 3), equally good trials were called different in 9 to 15 % of studies without this
      rule, and in 3 to 8 % with it. A pair's own variance is limited to `MOST_NOISE` times that of the others. Without
      the limit, a trial that failed to converge varies so much that nothing would differ from it.
    - With the images of both trials, paired. It does not include the seed. But it does include that a different kind of
      model disagrees on more images.

    Args:
        scores: (R, K), the best trial first.
        images: (K,).
        noise: From `noise_between`.
        trials: Number of trials that could have become the best, including pruned ones.
        by_image: (R, N) score of each image; None if the metric is not a mean over images.
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
    """Returns the expected score of the best complete trial, if its settings are trained and evaluated again.

    The best of many trials is partly the best by luck. Empirical Bayes removes this selection bias. It estimates the
    distribution of the true scores from all trials, and from it the expected true score of the best trial (Efron 2011,
    Tweedie's formula and selection bias, JASA 106). The distribution can have any form (Laird 1978, JASA 73, by the EM
    algorithm). So a few bad trials do not widen it, and a trial that is far better than all others keeps its score.
    Pruned trials are used with the folds that they have. Without them, the first folds of the other trials would look
    too good.

    Args:
        scores: (T, K); NaN for a missing fold. At least one row is complete.
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
    counts = shares.sum(1)  # (T,) fraction of all images that a trial was evaluated on
    means = _above_folds(scores, shares, scores[complete].mean(0))
    near = means >= means[best] - NEAR * np.sqrt(noise.at_least / counts)
    return float(values[best]) - _luck(scores[near], shares[near], noise.at_least, int(near[:best].sum()))


def scores_on_equal_folds(scores: Floats, images: NDArray[np.int64]) -> Floats:
    """Returns (T,) the mean score of each trial minus the difficulty of its folds. Trials may lack folds.

    Trials and folds have additive effects, fitted by weighted least squares. A trial with an infinite score keeps the
    infinity, and a trial without any score gets NaN.

    Args:
        scores: (T, K); NaN for a missing fold.
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
    """Returns the accuracy `value` of the best trial without selection bias. Its interval includes the noise.

    The variance of a proportion of independent images is v (1 - v) / n. The noise of the trial is added, because its
    settings will be trained with another seed. Wilson's interval uses the number of images with this total variance.

    Args:
        best: The measured accuracy of the best trial; its groups count as in its own interval.
        value: From `score_without_luck`; 0 to 1.
        noise: From `noise_between`.
    """
    value = min(1.0, max(0.0, value))
    images = float(best.n) if best.effective is None else best.effective
    spread = value * (1 - value)
    effective = 1 / (1 / images + noise.at_least / spread) if spread else images
    return Accuracy(value * best.n, best.n, best.groups, effective)


def _concentration(weights: Floats) -> float:
    """Returns S / (1 - S) of the folds' weights, see `noise_between`."""
    total = float((weights**2).sum())
    return total / (1 - total)


def _range_test(differences: Floats, variances: Floats, trials: int, freedom: float) -> Floats:
    """Returns (R,) the probability that the range of `trials` equal scores exceeds the differences."""
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
    """Returns (T,) the weighted mean of each row minus the column effects (K,). Ignores NaN; 0 for an empty row."""
    means: Floats = (shares * np.nan_to_num(scores - folds)).sum(1) / np.maximum(shares.sum(1), 1e-9)
    return means


def _luck(scores: Floats, shares: Floats, variance: float, best: int) -> float:
    """Returns how much the trial in row `best` exceeds its expected true score. `shares` (T, K) are of all images."""
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
