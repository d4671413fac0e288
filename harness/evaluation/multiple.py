"""Corrects the p-values of several tests, so that the chance of any false finding is as small as in one test."""

from __future__ import annotations

import numpy as np

from harness.evaluation.scores import Floats


def holm(p: Floats) -> Floats:
    """Returns p-values (M,) corrected by Holm's step-down method (1979, Scandinavian Journal of Statistics 6).

    Compare them with a level. Then the chance of at least one false finding among the M tests is at most that level,
    even if the tests depend on each other.
    """
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected
