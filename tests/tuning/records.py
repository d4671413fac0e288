"""Makes records of trials with given scores, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.evaluation.groups import Groups
from harness.tuning.trial_record import FoldScores, TrialRecord, trial_records


def trial(
    number: int,
    folds: Sequence[NDArray[Any]],
    losses: bool = False,
    pruned: bool = False,
    seconds: float = 1.0,
    parameters: Mapping[str, Any] | None = None,
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> FrozenTrial:
    """A trial. `folds` has, for each fold, which images are right or their losses."""
    attributes: dict[str, Any] = {"trial": number, "changes": dict(parameters or {})}
    attributes |= {"pruned": "after fold 1"} if pruned else {}
    for place, values in enumerate(folds, start=1):
        right = values < 0.69 if losses else values.astype(bool)
        kept = values.astype(float) if losses else None
        value = float(values.mean())
        scores = FoldScores(place, value, right, kept, (0.5,), seconds, seconds, f"fold{place}.pt")
        attributes[f"fold{place}"] = scores.to_plain()
    made = create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=float(np.concatenate(folds).mean()),
        params=dict(parameters or {}),
        distributions=dict(distributions or {}),
        user_attrs=attributes,
    )
    made.number = number
    return made


def records(trials: Sequence[FrozenTrial], groups: Groups | None = None) -> list[TrialRecord]:
    """The trials in a study's order: complete ones first, best first."""
    made = trial_records(trials, groups)
    return sorted(made, key=lambda each: (each.state == "pruned", -each.value, each.index))
