"""Noise of training: how much the accuracy changes if only the seed changes.

It is part of every difference between two models that were trained once each (Bouthillier et al. 2021, Accounting for
Variance in Machine Learning Benchmarks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.evaluation.scores import Floats


@dataclass(frozen=True)
class Repeats:
    """Accuracies of R repeats of the same training.

    Attributes:
        mean: Mean accuracy.
        deviation: Sample standard deviation (R - 1) between repeats; None for one repeat.
        repeats: R.
    """

    mean: float
    deviation: float | None
    repeats: int


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation between models of one fold that differ only in their seed.

    Attributes:
        deviation: The standard deviation, pooled over folds.
        interval: Its 95 % interval; None if the deviation is 0, because the formula then gives 0 to 0.
        freedom: Degrees of freedom: number of models minus number of folds.
    """

    deviation: float
    interval: tuple[float, float] | None
    freedom: int


def between_repeats(accuracies: Floats) -> Repeats:
    """Returns the mean and standard deviation of the accuracies (R,) of R repeats on the same folds; R is at least 1.

    The deviation is only that of the seed. All repeats share their images, so it does not include the random choice of
    images. The interval of the accuracy does include it.
    """
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return Repeats(float(np.mean(accuracies)), deviation, len(accuracies))


def seed_noise(accuracies: Floats) -> SeedNoise | None:
    """Returns the standard deviation between models of one fold, pooled over folds; None if no fold has two models.

    The variance is Σ_k Σ_r (a_kr - mean_k)² / Σ_k (R_k - 1). With ν degrees of freedom its 95 % interval is
    ν s² / χ²(0.975, ν) to ν s² / χ²(0.025, ν) (Snedecor and Cochran 1989, Statistical Methods). It assumes that
    accuracies are approximately normal with the same variance in every fold.

    Args:
        accuracies: (K, R) of K folds and R repeats; NaN for a missing model.
    """
    counts = (~np.isnan(accuracies)).sum(1)
    freedom = int(np.maximum(counts - 1, 0).sum())
    if not freedom:
        return None
    from scipy.special import chdtri

    values = accuracies[counts > 1]
    if (np.nanmax(values, 1) == np.nanmin(values, 1)).all():
        return SeedNoise(0.0, None, freedom)
    squares = float(np.nansum((values - np.nanmean(values, 1, keepdims=True)) ** 2))
    low, high = (math.sqrt(squares / float(chdtri(freedom, tail))) for tail in (0.025, 0.975))
    return SeedNoise(math.sqrt(squares / freedom), (low, high), freedom)
