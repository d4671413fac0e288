"""Whether a trial that is not finished can still win: a paired comparison with the best one so far, image by image.

Both trials are judged on the same images in the same folds. The comparison is image by image, so the difficulty of an
image cancels out. A score is better if it is larger: 1 or 0 for right or wrong, or minus the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHANCE = 0.05  # a trial ends early where the chance that it becomes the best is below this
FOLD_DEVIATION = 0.005  # of a difference in accuracy from one fold to the next, by the chance in training alone
FEWEST_CURVES = 3  # fits to have been seen before one is judged by its first epochs
LEAST_ERROR_LEFT = 0.1  # of an epoch's error remains at the end in the best case, after the learning rate is lowered


def chance_to_win(differences: Floats, left: int, fold_deviation: float = FOLD_DEVIATION) -> float:
    """The chance that the differences (trial minus best) of all images sum up to more than 0.

    `differences` (n,) are of the images judged so far, `left` is how many are still to come. Those are taken to be
    normal about the mean so far, which is itself uncertain (a flat prior), and folds to differ among each other.
    """
    return _chance(float(differences.sum()), 0.0, differences, left, fold_deviation)


def chance_within_fold(
    before: Floats, accuracy: float, epoch: int, best: Floats, left: int, curves: Sequence[Sequence[float]]
) -> float:
    """The same within a fold, after its epoch `epoch` (1-based), if the rest goes better than almost any fit before.

    That is: twice as well as any so far, or until a tenth of its error is left, whichever is better. On photographs,
    14 % of errors became 2.4 % from the second of five epochs to the last, once the schedule had lowered the rate.

    `before` (n,) are the differences of the folds that have ended, `accuracy` the fold's best so far, `best` (m,) what
    the best trial scored on the fold's images, `left` how many images come in later folds. `curves` are the accuracies
    by epoch of earlier fits; 1 where there are too few to know.
    """
    improvements = [_remaining_error(curve, epoch) for curve in curves if len(curve) > epoch]
    if len(improvements) < FEWEST_CURVES:
        return 1.0
    best_case = 1 - (1 - accuracy) * min(LEAST_ERROR_LEFT, min(improvements) / 2)
    m = len(best)
    spread = math.sqrt(best_case * (1 - best_case) + float(best.var()))  # of a difference, as if unpaired: the widest
    fold = (
        best_case - float(best.mean()) + spread * np.where(np.arange(m) % 2, 1.0, -1.0)
    )  # this mean and spread; in any order
    seen = np.concatenate([before, fold])
    return _chance(float(seen.sum()), m * best_case * (1 - best_case), seen, left, FOLD_DEVIATION)


def _chance(total: float, variance: float, seen: Floats, left: int, fold_deviation: float) -> float:
    """The chance that a sum that is `total` so far, give or take `variance`, ends above 0 after `left` more."""
    n = len(seen)
    each = (float(seen.var()) * n + 1) / (n + 1)  # one imaginary image that differs: the variance is never 0
    total *= 1 + left / n
    variance += each * left * (1 + left / n) + (fold_deviation * left) ** 2
    return 0.5 * (1 + math.erf(total / math.sqrt(2 * variance))) if variance else float(total > 0)


def _remaining_error(curve: Sequence[float], epoch: int) -> float:
    """Which share of the error after `epoch` was left in the end, at the best."""
    now = 1 - max(curve[:epoch])
    return (1 - max(curve)) / now if now > 0 else 1.0
