"""Several tests at once: p-values corrected so that the chance of any false finding stays at the level of one test."""

from __future__ import annotations

import numpy as np

from harness.evaluation.scores import Floats


def holm(p: Floats) -> Floats:
    """Returns p-values (M,) corrected by Holm's step-down method (1979, Scandinavian Journal of Statistics 6).

    Compared with a level, they keep the chance of one false finding or more among the M tests below that level, however
    the tests depend on each other.
    """
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected
