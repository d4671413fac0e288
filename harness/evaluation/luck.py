"""Selection bias: by how much the best of several models looks too good on the images that selected it."""

from __future__ import annotations

import math

import numpy as np


def expected_maximum(m: int) -> float:
    """Returns the expected maximum of `m` independent standard normal numbers (Tippett 1925)."""
    points = np.linspace(-9, 9, 3601)
    below = np.array([0.5 * math.erfc(-point / math.sqrt(2)) for point in points])
    chances = np.diff(below**m)
    return float(((points[1:] + points[:-1]) / 2 * chances).sum())


def luck_of_best(models: int, disagreement: float, n: float) -> float:
    """Returns by how much the best of equally good models looks too good, in accuracy; 0 for one model.

    The accuracies of such models vary around their common value with a variance of d / 2n, because the difference of
    two models has the variance d / n. If models agree on most images, the bias is small.

    Args:
        models: Number of different models that were evaluated.
        disagreement: d, the mean fraction of images that only one of two models has right.
        n: Number of independent images.
    """
    return expected_maximum(models) * math.sqrt(disagreement / (2 * n)) if models > 1 else 0.0
