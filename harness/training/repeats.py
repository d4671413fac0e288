"""Numbers and seeds of the fits of a run that trains each fold several times."""

from __future__ import annotations

import numpy as np

from harness.config.experiment import Experiment


def fold_and_repeat(fold: int, folds: int) -> tuple[int, int]:
    """(fold, repeat), both 1-based, of a fit: the fold after the last one is the first one of the next repeat."""
    repeat, position = divmod(fold - 1, max(1, folds))
    return position + 1, repeat + 1


def repeat_seed(experiment: Experiment, fold: int) -> int:
    """The seed of a fit; that of the first repeat is the experiment's own."""
    _, repeat = fold_and_repeat(fold, experiment.folds)
    if repeat <= 1:
        return experiment.seed
    return int(np.random.SeedSequence((experiment.seed, repeat)).generate_state(1)[0])
