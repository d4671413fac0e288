"""The scores of all trials in all folds, and what they say about the study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.best_of_many import (
    Noise,
    accuracy_without_luck,
    compare_with_best,
    least_difference,
    noise_between,
    score_without_luck,
    scores_on_equal_folds,
)
from harness.evaluation.scores import Floats
from harness.tuning.importance import ParameterShare, parameter_shares
from harness.tuning.trial_record import ACCURACY, TrialRecord

SHOWN = 10  # trials in the table


@dataclass(frozen=True)
class Expected:
    """What the best trial's settings are expected to reach if they are trained again.

    The best of many trials is partly luck, so this is lower than its measured accuracy.
    """

    value: float  # of the metric that is searched for
    accuracy: Accuracy | None  # the same with its interval, if that metric is the accuracy


@dataclass(frozen=True)
class FoldTable:
    """Scores of T trials in K folds.

    Attributes:
        trials: Complete trials, best first, then those that were pruned after at least one fold.
        scores: (T, K); more is better; NaN if a trial lacks the fold.
        images: (K,) number of validation images.
        rising: Whether more of the metric is better.
        by_image: Whether the metric is a mean over images.
        noise: Noise of a trial's score; None if it is not known, or if there is a single trial.
    """

    trials: Sequence[TrialRecord]
    scores: Floats
    images: NDArray[np.int64]
    rising: bool
    by_image: bool
    noise: Noise | None

    @classmethod
    def of(
        cls, complete: Sequence[TrialRecord], pruned: Sequence[TrialRecord], rising: bool, by_image: bool
    ) -> FoldTable:
        trials = [*complete, *pruned]
        sizes = {fold.fold: fold.n for trial in trials for fold in trial.folds}
        numbers = sorted(sizes)
        scores = np.full((len(trials), len(sizes)), np.nan)
        for row, trial in enumerate(trials):
            for fold in trial.folds:
                scores[row, numbers.index(fold.fold)] = fold.value if rising else -fold.value
        images = np.array([sizes[number] for number in numbers], np.int64)
        noise = None
        if complete:
            image_scores = _by_image(complete[:SHOWN]) if by_image else None
            noise = noise_between(scores[: len(complete)], images, image_scores, complete[0].groups)
        return cls(trials, scores, images, rising, by_image, noise)

    @property
    def unknown(self) -> str:
        """Why differences between trials are not known; empty if they are known, or if there is only one trial."""
        if self.noise is not None or len(self.trials) < 2:
            return ""
        if len(self.images) == 1:
            return "one fold does not show the noise of training"
        complete = int((~np.isnan(self.scores).any(1)).sum())
        return f"too few trials are complete ({complete}) to estimate the noise of training"

    def chances(self, trials: Sequence[TrialRecord]) -> list[float | None]:
        """The p-value of each trial's difference from the first trial, the best; None if it is not known."""
        if self.noise is None:
            return [1.0, *[None] * (len(trials) - 1)][: len(trials)]
        rows = {trial.number: row for row, trial in enumerate(self.trials)}
        scores = self.scores[[rows[trial.number] for trial in trials]]
        image_scores = _by_image(trials) if self.by_image else None
        p = compare_with_best(scores, self.images, self.noise, len(self.trials), image_scores, trials[0].groups)
        return [None if math.isnan(value) else float(value) for value in p]

    @property
    def least(self) -> float | None:
        """The smallest difference from the best trial that is significant; None if it is not known."""
        return None if self.noise is None else least_difference(self.noise, len(self.trials))

    def expected(self, metric: str) -> Expected | None:
        """What the best trial is expected to reach again; None if that is not known, or if there is only one trial."""
        if self.noise is None:
            return None
        score = score_without_luck(self.scores, self.images, self.noise)
        if metric != ACCURACY:
            return Expected(score if self.rising else -score, None)
        accuracy = accuracy_without_luck(self.trials[0].accuracy, score, self.noise)
        return Expected(accuracy.value, accuracy)

    def shares(self) -> tuple[ParameterShare, ...]:
        """The share of the differences between trials that each parameter explains."""
        if not self.trials:
            return ()
        values = scores_on_equal_folds(self.scores, self.images)
        return parameter_shares([trial.optuna_trial for trial in self.trials], values)


def _by_image(trials: Sequence[TrialRecord]) -> Floats:
    """(R, N) score of each image, of complete trials."""
    return np.stack([np.concatenate([fold.scores for fold in trial.folds]) for trial in trials])
