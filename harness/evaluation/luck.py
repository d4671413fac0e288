"""How lucky the best of several models is on images that all of them were judged on."""

from __future__ import annotations

import math

import numpy as np


def expected_maximum(m: int) -> float:
    """The expected maximum of `m` independent draws from the standard normal distribution (Tippett 1925)."""
    points = np.linspace(-9, 9, 3601)
    below = np.array([0.5 * math.erfc(-point / math.sqrt(2)) for point in points])
    chances = np.diff(below**m)
    return float(((points[1:] + points[:-1]) / 2 * chances).sum())


def luck_of_best(models: int, disagreement: float, n: float) -> float:
    """Returns by how much the best of equally good models looks too good, in accuracy; 0 for one model.

    The accuracies of such models vary about their common value with a variance of d / 2n, because the difference of two
    varies with d / n. Models that agree on most images leave little room for luck.

    Args:
        models: Number of different models that were judged.
        disagreement: d, the mean share of images that one of two models alone has right.
        n: Independent images.
    """
    return expected_maximum(models) * math.sqrt(disagreement / (2 * n)) if models > 1 else 0.0
