"""Numbers and seeds of fits in a run that trains each fold several times."""

from __future__ import annotations

import numpy as np

from harness.config.experiment import Experiment


def fold_and_repeat(fold: int, folds: int) -> tuple[int, int]:
    """Returns (fold, repeat) of a fit, both from 1. The numbers of fits continue in the next repeat."""
    repeat, position = divmod(fold - 1, max(1, folds))
    return position + 1, repeat + 1


def repeat_seed(experiment: Experiment, fold: int) -> int:
    """Returns the seed of a fit. The first repeat uses the experiment's seed."""
    _, repeat = fold_and_repeat(fold, experiment.folds)
    if repeat <= 1:
        return experiment.seed
    return int(np.random.SeedSequence((experiment.seed, repeat)).generate_state(1)[0])
