"""The fraction of the differences between trials that one parameter explains, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.evaluation.scores import Floats

FEWEST_FREEDOM = 2  # minimum degrees of freedom of the residuals


@dataclass(frozen=True)
class VarianceShare:
    """Fraction of the variance of N values that a parameter explains in addition to earlier parameters.

    Attributes:
        share: Adjusted for the number of columns (Ezekiel 1930); at least 0.
        low: Lower end of its interval; 0 if the values are also explained without the parameter.
        high: Upper end of its interval.
        p: The probability of this fraction, or a larger one, if the parameter has no influence.
    """

    share: float
    low: float
    high: float
    p: float


def variance_share(values: Floats, columns: Floats, before: Floats, tail: float) -> VarianceShare | None:
    """Returns the fraction that `columns` explain in addition to the columns in `before`; None if it is unknown.

    It is unknown if too few values are left to estimate the residual variance, or if nothing varies. The F test of a
    linear model gives p. The interval is the one of its noncentrality λ (Steiger 2004, Psychological Methods 9):
    λ / (λ + N) is a fraction of the variance that was left before. At each end, F with that λ has the probability
    `tail` to be at least as far away as the observed F. This is exact for values with normal errors, and approximate
    for ranks.

    Args:
        values: (N,).
        columns: (N, D) of the parameter.
        before: (N, B) of the earlier parameters; B may be 0.
        tail: Error probability at each end of the interval: 0.025 for a single interval of 95 %.
    """
    n = len(values)
    total = float(((values - values.mean()) ** 2).sum())
    left, first = _residuals(values, before)
    rest, second = _residuals(values, np.column_stack([before, columns]))
    added, freedom = second - first, n - second
    if added < 1 or freedom < FEWEST_FREEDOM or left <= 1e-12 * total or total == 0:
        return None
    from scipy.special import fdtrc, ncfdtr

    remaining = min(1.0, (left / (n - first)) / (total / (n - 1)))  # fraction of the variance that was left before
    statistic = max(0.0, left - rest) / added / max(rest / freedom, 1e-12 * total)
    share = max(0.0, remaining * (1 - (rest / freedom) / (left / (n - first))))

    def end(chance: float) -> float:
        noncentrality = _root(lambda value: float(ncfdtr(added, freedom, value, statistic)) - chance)
        return remaining * noncentrality / (noncentrality + n)

    return VarianceShare(share, end(1 - tail), end(tail), float(fdtrc(added, freedom, statistic)))


def _residuals(values: Floats, columns: Floats) -> tuple[float, int]:
    """Returns the sum of squares that the columns and a constant do not explain, and their rank."""
    design = np.column_stack([np.ones(len(values)), columns])
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    return float(((values - design @ solution) ** 2).sum()), int(rank)


def _root(falling: Callable[[float], float]) -> float:
    """Returns the zero of a falling function between 0 and 10^9, or the nearer end if there is none."""
    from scipy.optimize import brentq

    low, high = 0.0, 1.0
    if falling(low) <= 0:
        return low
    while falling(high) > 0:
        low, high = high, 4 * high
        if high > 1e9:
            return high
    return float(brentq(falling, low, high))
