"""Estimates the importance of a study's parameters: the share of the differences between trials that each explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.scores import Floats
from harness.evaluation.variance_share import VarianceShare, variance_share

FEWEST_TRIALS = 8  # that have a parameter, before its share is estimated
NOT_SHOWN = "the share may be 0"


@dataclass(frozen=True)
class ParameterShare:
    """One parameter of a study.

    Attributes:
        parameter: Its name.
        trials: Number of trials that have it.
        share: Share of the variance of these trials' ranks that it explains, beyond the parameters listed before it;
            None if its interval contains 0, or if it is not known.
        low: Lower end of its interval. All intervals of a study contain their true shares with a probability of 95 %.
        high: Upper end of its interval.
        why: Why there is no share; None if there is one.
    """

    parameter: str
    trials: int
    share: float | None = None
    low: float | None = None
    high: float | None = None
    why: str | None = None


def parameter_shares(trials: Sequence[FrozenTrial], values: Floats) -> tuple[ParameterShare, ...]:
    """Returns the share of the variance that each parameter explains, the most important parameter first.

    The model of a number has two terms: the number and its square (of its logarithm, if it is sampled on a log scale).
    The model of a choice has a constant for each value. Values are replaced by their ranks, so that one diverged trial
    has little weight.

    Forward selection: the parameter with the smallest p-value comes first. The next one must explain what the first
    does not, and so on, until an interval contains 0. Without that, each parameter would seem important, because a
    sampler draws good values of all parameters together. Intervals are corrected for the number of parameters
    (Bonferroni).

    If some trials lack a parameter, its share is estimated from the trials that have it.

    Args:
        trials: N trials, complete or pruned.
        values: (N,) how good they were, comparable between trials; a trial with NaN is left out.

    Returns:
        One entry for each parameter; those without a share come last.
    """
    known = [i for i in range(len(trials)) if not math.isnan(values[i])]
    trials, values = [trials[i] for i in known], values[known]
    columns = {name: _columns(name, trials) for name in _names(trials)}
    counts = {name: int(mask.sum()) for name, (mask, _) in columns.items()}
    tested = [name for name, count in counts.items() if count >= FEWEST_TRIALS and columns[name][1].any()]
    before: Floats = np.zeros((len(trials), 0))
    shares: list[ParameterShare] = []
    while True:
        left = [name for name in tested if name not in {share.parameter for share in shares}]
        estimates = {name: _share(values, columns[name], before, len(tested)) for name in left}
        best = min(((share.p, name) for name, share in estimates.items() if share and share.low > 0), default=None)
        if best is None:
            break
        name, share = best[1], estimates[best[1]]
        assert share is not None
        shares.append(ParameterShare(name, counts[name], share.share, share.low, share.high))
        mask, own = columns[name]
        before = np.column_stack([before, mask, own])
    missing = {name: _why(counts[name], columns[name][1], estimates.get(name)) for name in columns}
    others = [ParameterShare(name, counts[name], why=why) for name, why in missing.items()]
    return (*shares, *(other for other in others if other.parameter not in {share.parameter for share in shares}))


def _names(trials: Sequence[FrozenTrial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.params))


def _columns(name: str, trials: Sequence[FrozenTrial]) -> tuple[NDArray[np.bool_], Floats]:
    """(N,) which trials have the parameter, and (N, D) the columns of its model, with 0 for the other trials."""
    mask = np.array([name in trial.params for trial in trials])
    having = [trial for trial in trials if name in trial.params]
    columns = _model([trial.params[name] for trial in having], having[0].distributions[name])
    whole = np.zeros((len(trials), columns.shape[1]))
    whole[mask] = columns - columns.mean(0)
    return mask, whole


def _model(values: Sequence[Any], distribution: Any) -> Floats:
    """(N, D) columns: for a number, its standardised value and the square of that; for choices, one-hot columns."""
    if hasattr(distribution, "choices"):
        places = [distribution.choices.index(value) for value in values]
        return np.array([[float(place == other) for other in sorted({*places})[1:]] for place in places])
    numbers = np.log(np.array(values, float)) if distribution.log else np.array(values, float)
    spread = float(numbers.std())
    scaled = (numbers - numbers.mean()) / spread if spread else np.zeros(len(numbers))
    return np.column_stack([scaled, scaled**2])


def _share(values: Floats, own: tuple[NDArray[np.bool_], Floats], before: Floats, tested: int) -> VarianceShare | None:
    from scipy.stats import rankdata

    mask, columns = own
    return variance_share(rankdata(values[mask]), columns[mask], before[mask], SIGNIFICANCE / 2 / tested)


def _why(count: int, columns: Floats, estimate: VarianceShare | None) -> str:
    if count < FEWEST_TRIALS:
        return f"{count} trials have it; {FEWEST_TRIALS} are needed"
    if not columns.any():
        return "it has the same value in all trials"
    if estimate is not None:
        return NOT_SHOWN
    return "too few trials for this number of parameters, or all trials are equally good"
