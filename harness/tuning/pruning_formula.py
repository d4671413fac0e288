"""Computes the chance that an unfinished trial becomes the best of its study.

A score is 1 for a right image and 0 for a wrong one, or minus the loss, so more is better. The model of a trial's mean
score in a fold is a sum of three normal, independent effects: a two-way table with random effects (Henderson 1975,
Biometrics 31).

- **The fold**: how difficult its images are. The variance is that of the best trial's scores between images.
- **The trial**: how good its settings are. The variance is not known; it is 0 if all settings are equally good. The
  smaller it is, the closer a trial that is behind is expected to come to the others.
- **Noise**: the choice of images, and chance in training. The variance by the images is half of the variance of the
  differences from the best trial, image by image. The variance by training adds to it, and is not known.

The result is averaged over a grid of the two unknown variances, weighted by the restricted likelihood of all folds of
all trials (Patterson and Thompson 1971, Biometrika 58). The scores of the best trial in the remaining folds are known.
Pruned trials count with the folds that they have. Only these folds decided that they were pruned, so the other folds
are missing at random (Rubin 1976, Biometrika 63). `docs/numbers.md` checks the chances by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.groups import Groups
from harness.evaluation.scores import Floats

Scores = Mapping[int, Floats]  # fold -> (n,) scores of its images
CHANCE = 0.05  # a trial ends early if its chance to become the best is below this
FEWEST_COMPLETE = 2  # complete trials before a chance is computed: with one, chances were up to three times too low
TRAINING_NOISE = (0.0, 0.05, 0.1, 0.25, 0.75, 2.5)  # variance by training / variance by the choice of images
SPREADS = (0.0, 1.0, 10.0, 100.0)  # variance between trials / variance of a fold's mean by the choice of images
COMPETES = 5.0  # standard errors behind the best; a trial further behind says nothing about trials that can win
FOLD_DIFFERENCES = {1.0: 0.95, 100.0: 0.05}  # prior of: variance between folds / variance by the choice of images
LEAST_DIFFICULTY = (
    0.2  # least variance between images / variance by their choice: no fold is known before it is trained
)
FEWEST_CURVES = 3  # finished fits that are needed before a fit is evaluated by its first epochs
LEAST_ERROR_LEFT = 0.1  # share of an epoch's error that is left at the end in the best case, at a low learning rate


class EarlierTrials:
    """The scores of all trials that are complete or pruned.

    Args:
        best: Scores of the best complete trial.
        others: Scores of the other trials, each in its first folds or in all. Trials without a fold are left out.
        counts: Whether a score is 1 or 0; otherwise it is minus a loss.
        groups: Fold -> (n,) the group of each image; None if all images are independent.
    """

    def __init__(
        self, best: Scores, others: Sequence[Scores], counts: bool, groups: Mapping[int, Groups] | None = None
    ) -> None:
        others = [other for other in others if other]
        self._best = best
        self._groups = groups
        self._folds = sorted(best)
        self._images = np.array([len(best[fold]) for fold in self._folds], float)
        self._values = np.array([self._row({fold: float(x.mean()) for fold, x in t.items()}) for t in [best, *others]])
        self._total = float(self._images @ self._values[0])
        self._perfect = 1.0 if counts else 0.0
        self._step = 1.0 if counts else 0.0  # between two possible sums
        spread = self._variance(best)
        self._unit = 1.0 if counts else spread  # squared difference of one added, imaginary image: no variance is 0
        self._noise = np.array([np.nan, *(self._noise_of(other) for other in others)])
        self._difficulty = spread + self._unit / self._images.sum()
        self._complete = int((~np.isnan(self._values)).all(1).sum())

    def chance_to_win(self, own: Scores) -> float:
        """The chance that a trial becomes the best, after some of its folds.

        It is 0 if not even perfect scores in all remaining folds are enough, and 1 if too few trials are complete.

        Args:
            own: Scores of the folds that the trial has.
        """
        return self._chance(own, {})

    def chance_within_fold(
        self, own: Scores, fold: int, accuracy: float, epoch: int, curves: Sequence[Sequence[float]]
    ) -> float:
        """An upper bound of the chance that a trial becomes the best, after an epoch of a fold.

        It assumes that the rest of the fold goes better than almost any earlier fit: the remaining share of the error
        is half of the best so far, or a tenth if that is less. On photographs, an error of 14 % fell to 2.4 % between
        the second and the last of five epochs, because the schedule had lowered the learning rate.

        Args:
            own: Scores of the folds that have ended; may be empty.
            fold: The fold that is trained.
            accuracy: Its highest validation accuracy so far.
            epoch: The epoch that has ended, from 1.
            curves: Accuracies by epoch of earlier fits with the same number of epochs. With fewer than three, the
                chance is 1.
        """
        improvements = [_remaining_error(curve, epoch) for curve in curves if len(curve) > epoch]
        if len(improvements) < FEWEST_CURVES:
            return 1.0
        best_case = 1 - (1 - accuracy) * min(LEAST_ERROR_LEFT, min(improvements) / 2)
        return self._chance(own, {fold: best_case})

    def _chance(self, own: Scores, guessed: Mapping[int, float]) -> float:
        """The chance after the folds in `own`, if the folds in `guessed` end with these means."""
        row = self._row({fold: float(scores.mean()) for fold, scores in own.items()} | dict(guessed))
        left = np.where(np.isnan(row), self._images, 0.0)
        behind = self._total - float(np.nansum(self._images * row))
        if behind >= self._perfect * left.sum():
            return 0.0
        if not left.any():
            return 1.0
        if self._complete < FEWEST_COMPLETE:
            return 1.0
        competes = self._competes()
        noise = np.append(self._noise[competes], self._noise_of(own) if own else np.nan)
        if np.isnan(noise).all():
            noise[:] = np.nanmedian(self._noise)
        typical = float(np.nanmedian(noise))
        noise[np.isnan(noise)] = (
            typical  # the best trial has none, because it is the reference; nor has an unstarted one
        )
        if not noise.all():
            return 1.0
        difficulty = max(self._difficulty - typical, LEAST_DIFFICULTY * typical)
        values = np.vstack([self._values[competes], row])
        weights, sums, variances = _remaining(values, self._images, noise, difficulty)
        ahead = (sums - behind - self._step / 2) / np.sqrt(variances)
        return float(weights @ [0.5 * math.erfc(-z / math.sqrt(2)) for z in ahead])

    def _competes(self) -> NDArray[np.bool_]:
        """(T,) trials near enough to the best to show how much trials that can win differ. The best is one of them."""
        behind = np.nansum(self._images * (self._values[0] - self._values), axis=1)
        images = np.where(np.isnan(self._values), 0.0, self._images).sum(1)
        far: NDArray[np.bool_] = behind > COMPETES * np.sqrt(2 * self._noise * images)
        return ~far

    def _noise_of(self, trial: Scores) -> float:
        """Variance of a score by the choice of images: half of that of the differences from the best."""
        differences = {fold: scores - self._best[fold] for fold, scores in trial.items()}
        return (self._variance(differences) + self._unit / sum(map(len, differences.values()))) / 2

    def _variance(self, scores: Scores) -> float:
        """Variance per image within folds. For images in groups it is the variance of the groups' sums, per image."""
        squares, images = 0.0, 0
        for fold, values in scores.items():
            deviations = values - values.mean()
            if self._groups is not None:
                deviations = np.bincount(np.unique(self._groups[fold], return_inverse=True)[1], weights=deviations)
            squares += float(deviations @ deviations) * len(deviations) / max(len(deviations) - 1, 1)
            images += len(values)
        return squares / images

    def _row(self, means: Mapping[int, float]) -> Floats:
        """(K,) means, with NaN for a missing fold."""
        return np.array([means.get(fold, np.nan) for fold in self._folds])


def _remaining(values: Floats, images: Floats, noise: Floats, difficulty: float) -> tuple[Floats, Floats, Floats]:
    """The distribution of the last trial's sum of scores over the folds that it lacks.

    Args:
        values: (T, K) means, with NaN for missing folds.
        images: (K,) sizes of the folds.
        noise: (T,) variance of a score by the choice of images.
        difficulty: Variance of an image's difficulty.

    Returns:
        (weights, means, variances), each (G,): one for each point of the grid.
    """
    seen = ~np.isnan(values)
    y = np.where(seen, values, 0.0)
    left = np.where(seen[-1], 0.0, images)
    grid = np.meshgrid(TRAINING_NOISE, SPREADS, list(FOLD_DIFFERENCES))
    training, spread, folds_differ = (axis.ravel() for axis in grid)
    precision = np.where(seen, images / noise[:, None], 0.0) / (1 + training)[:, None, None]  # (grid, T, K)
    between = (spread * noise.mean() / images.mean())[:, None]
    inflation = 1 + between * precision.sum(2)  # (grid, T)
    given = between / inflation  # variance of a trial's effect, given its folds
    weighted = (precision * y).sum(2)
    one_level = (np.eye(len(images)) - 1 / len(images)) * images.mean() / difficulty
    information = one_level / folds_differ[:, None, None] - np.einsum("gt,gtk,gtl->gkl", given, precision, precision)
    information += precision.sum(1)[:, :, None] * np.eye(len(images))
    moments = (precision * y).sum(1) - np.einsum("gt,gt,gtk->gk", given, weighted, precision)
    covariance = np.linalg.inv(information)  # of the fold effects
    folds = np.einsum("gkl,gl->gk", covariance, moments)
    squares = (precision * y * y).sum((1, 2)) - (given * weighted**2).sum(1) - (moments * folds).sum(1)
    deviance = squares + np.log(inflation).sum(1) + np.linalg.slogdet(information)[1]
    deviance += seen.sum() * np.log1p(training) + (len(images) - 1) * np.log(folds_differ)
    weights = np.exp(-(deviance - deviance.min()) / 2) * [FOLD_DIFFERENCES[ratio] for ratio in folds_differ]
    own = given[:, -1] * left.sum()
    slope = left - own[:, None] * precision[:, -1]  # derivative of the sum by the fold effects
    sums = (slope * folds).sum(1) + own * weighted[:, -1]
    variances = np.einsum("gk,gkl,gl->g", slope, covariance, slope) + own * left.sum()
    variances += left.sum() * (1 + training) * noise[-1]
    return weights / weights.sum(), sums, variances


def _remaining_error(curve: Sequence[float], epoch: int) -> float:
    """The share of the error after `epoch` that was left at the end. Both errors are the lowest so far."""
    now = 1 - max(curve[:epoch])
    return (1 - max(curve)) / now if now > 0 else 1.0
