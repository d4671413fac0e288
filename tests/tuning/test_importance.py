from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from scipy.stats import ttest_ind

from harness.tuning.importance import NOT_SHOWN, ParameterShare, parameter_shares
from harness.tuning.quiet import quiet

RATE = FloatDistribution(1e-5, 1e-1, log=True)
SPACE: dict[str, Any] = {
    "lr": RATE,
    "batch_size": CategoricalDistribution([16, 32, 64]),
    "weight_decay": FloatDistribution(1e-6, 1.0, log=True),
}


def study(
    count: int, value: Callable[[Mapping[str, Any]], float], seed: int = 0, space: Mapping[str, Any] = SPACE
) -> tuple[list[FrozenTrial], np.ndarray]:
    """Random trials, and their values with noise of 0.3."""
    rng = np.random.default_rng(seed)
    trials, values = [], []
    with quiet():
        asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        for _ in range(count):
            trial = asked.ask(dict(space))
            trials.append(create_trial(value=0.0, params=trial.params, distributions=dict(space)))
            values.append(value(trial.params) + 0.3 * rng.standard_normal())
    return trials, np.array(values)


def shown(shares: Sequence[ParameterShare]) -> Mapping[str, float]:
    """Parameter -> share, for parameters whose interval does not contain 0; the most important one first."""
    return {share.parameter: share.share for share in shares if share.share is not None}


def by_rate(parameters: Mapping[str, Any]) -> float:
    return float(-((np.log10(parameters["lr"]) + 3) ** 2))


def test_parameter_shares_finds_the_important_parameter_with_its_interval() -> None:
    trials, values = study(20, by_rate)
    first, *others = parameter_shares(trials, values)
    assert (first.parameter, first.trials, first.why) == ("lr", 20, None)
    assert first.share is not None
    assert first.low is not None
    assert first.high is not None
    assert 0.3 < first.low < 0.8 < first.share < first.high < 1
    assert [(other.share, other.why) for other in others] == [(None, NOT_SHOWN)] * 2
    assert shown((first, *others)) == {"lr": first.share}


def test_parameter_shares_of_noise_shows_no_parameter() -> None:
    """At most one of 40 studies without any effect shows one. Optuna's largest importance is above half in most."""
    found = [shown(parameter_shares(*study(12, lambda _: 0.0, seed))) for seed in range(40)]
    assert sum(bool(shares) for shares in found) <= 2


def test_parameter_shares_gives_outliers_little_weight() -> None:
    """optuna/optuna#4985: a range that was too wide made weight decay the most important parameter."""

    def value(parameters: Mapping[str, Any]) -> float:
        return by_rate(parameters) - 1000 * (parameters["weight_decay"] > 0.3)

    trials, values = study(20, value, seed=0)
    assert (values < -900).sum() in (1, 2)
    assert list(shown(parameter_shares(trials, values))) == ["lr"]
    diverged = np.where(values < -900, -np.inf, values)
    assert parameter_shares(trials, diverged) == parameter_shares(trials, values)


def test_parameter_shares_is_deterministic() -> None:
    """optuna/optuna#1199: importances from a random forest changed at each call."""
    trials, values = study(15, by_rate)
    assert parameter_shares(trials, values) == parameter_shares(trials, values)


def test_parameter_shares_of_a_parameter_that_some_trials_lack() -> None:
    """optuna/optuna#1856: a parameter that some trials lack was left out without a message."""
    trials, values = study(24, by_rate)
    depth = IntDistribution(1, 8)
    for i, trial in enumerate(trials[:16]):
        trial.params = {**trial.params, "depth": 1 + i % 8}
        trial.distributions = {**trial.distributions, "depth": depth}
        values[i] += 2.0 * (i % 8)
    for i, trial in enumerate(trials[16:20]):
        trial.params = {**trial.params, "rare": 1 + i}
        trial.distributions = {**trial.distributions, "rare": depth}
    found = {share.parameter: share for share in parameter_shares(trials, values)}
    assert found["depth"].trials == 16
    assert found["depth"].share is not None
    assert found["depth"].share > 0.6
    assert found["rare"] == ParameterShare("rare", 4, why="4 trials have it; 8 are needed")


def test_parameter_shares_explains_what_is_not_known() -> None:
    """optuna/optuna#6720, #6500: two trials, or a parameter with one value, gave ValueError or 0."""
    trials, values = study(2, by_rate)
    assert {share.why for share in parameter_shares(trials, values)} == {"2 trials have it; 8 are needed"}
    fixed = {**SPACE, "momentum": FloatDistribution(0.9, 0.9), "only": CategoricalDistribution(["x"])}
    trials, values = study(12, by_rate, space=fixed)
    why = {share.parameter: share.why for share in parameter_shares(trials, values)}
    assert why["momentum"] == why["only"] == "it has the same value in all trials"
    assert why["lr"] is None
    equal = parameter_shares(trials, np.ones(12))
    assert {share.why for share in equal if share.parameter == "lr"} == {
        "too few trials for this number of parameters, or all trials are equally good"
    }
    assert parameter_shares([], np.zeros(0)) == ()


def test_parameter_shares_ignores_a_trial_without_a_value() -> None:
    trials, values = study(13, by_rate)
    values[4] = np.nan
    without = [trial for i, trial in enumerate(trials) if i != 4]
    assert parameter_shares(trials, values) == parameter_shares(without, np.delete(values, 4))


def test_parameter_shares_ignores_a_correlated_parameter() -> None:
    """A sampler draws good values of all parameters together. So batch size, tested alone, has p < 0.001."""
    trials, values = study(40, by_rate)
    rng = np.random.default_rng(0)
    for trial, value in zip(trials, values, strict=True):
        good = (value > np.median(values)) != (rng.random() < 0.1)
        trial.params = {**trial.params, "batch_size": 64 if good else 16}
    values = np.array([by_rate(trial.params) for trial in trials]) + 0.3 * rng.standard_normal(40)
    large = [trial.params["batch_size"] == 64 for trial in trials]
    assert ttest_ind(values[large], values[np.logical_not(large)]).pvalue < 0.001
    assert list(shown(parameter_shares(trials, values))) == ["lr"]


@pytest.mark.parametrize("choices", [[True, False], ["a", "b", "c"], [None, 0.5]])
def test_parameter_shares_accepts_choices_of_any_type(choices: list[Any]) -> None:
    space = {"choice": CategoricalDistribution(choices), "lr": RATE}
    trials, values = study(16, lambda parameters: 3.0 * choices.index(parameters["choice"]), space=space)
    assert next(iter(shown(parameter_shares(trials, values)))) == "choice"
