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
    """Trials at random, and their values with noise of 0.3."""
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
    """Parameter -> share, of those whose interval does not hold 0; the most important one first."""
    return {share.parameter: share.share for share in shares if share.share is not None}


def by_rate(parameters: Mapping[str, Any]) -> float:
    return float(-((np.log10(parameters["lr"]) + 3) ** 2))


def test_the_parameter_that_matters_is_shown_with_an_interval_that_holds_its_share() -> None:
    trials, values = study(20, by_rate)
    first, *others = parameter_shares(trials, values)
    assert (first.parameter, first.trials, first.why) == ("lr", 20, None)
    assert first.share is not None
    assert first.low is not None
    assert first.high is not None
    assert 0.3 < first.low < 0.8 < first.share < first.high < 1
    assert [(other.share, other.why) for other in others] == [(None, NOT_SHOWN)] * 2
    assert shown((first, *others)) == {"lr": first.share}


def test_noise_shows_no_parameter() -> None:
    """Of 40 studies without any effect, one at most shows one; Optuna's largest importance is above half in most."""
    found = [shown(parameter_shares(*study(12, lambda _: 0.0, seed))) for seed in range(40)]
    assert sum(bool(shares) for shares in found) <= 2


def test_a_few_terrible_values_do_not_decide() -> None:
    """optuna/optuna#4985: a range that reaches too far made weight decay the most important parameter."""

    def value(parameters: Mapping[str, Any]) -> float:
        return by_rate(parameters) - 1000 * (parameters["weight_decay"] > 0.3)

    trials, values = study(20, value, seed=0)
    assert (values < -900).sum() in (1, 2)
    assert list(shown(parameter_shares(trials, values))) == ["lr"]
    diverged = np.where(values < -900, -np.inf, values)
    assert parameter_shares(trials, diverged) == parameter_shares(trials, values)


def test_shares_are_the_same_at_each_call() -> None:
    """optuna/optuna#1199: importances by a random forest changed from call to call."""
    trials, values = study(15, by_rate)
    assert parameter_shares(trials, values) == parameter_shares(trials, values)


def test_a_parameter_that_some_trials_lack_counts_in_those_that_have_it() -> None:
    """optuna/optuna#1856: a parameter that not all trials have was left out without a word."""
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


def test_what_is_not_known_says_why() -> None:
    """optuna/optuna#6720, #6500: two trials raised ValueError or gave 0, and a parameter of one value gave either."""
    trials, values = study(2, by_rate)
    assert {share.why for share in parameter_shares(trials, values)} == {"2 trials have it; 8 are needed"}
    fixed = {**SPACE, "momentum": FloatDistribution(0.9, 0.9), "only": CategoricalDistribution(["x"])}
    trials, values = study(12, by_rate, space=fixed)
    why = {share.parameter: share.why for share in parameter_shares(trials, values)}
    assert why["momentum"] == why["only"] == "it has the same value in all trials"
    assert why["lr"] is None
    equal = parameter_shares(trials, np.ones(12))
    assert {share.why for share in equal if share.parameter == "lr"} == {
        "too few trials for this number of parameters, or all are equally good"
    }
    assert parameter_shares([], np.zeros(0)) == ()


def test_a_trial_without_a_value_is_left_out() -> None:
    trials, values = study(13, by_rate)
    values[4] = np.nan
    without = [trial for i, trial in enumerate(trials) if i != 4]
    assert parameter_shares(trials, values) == parameter_shares(without, np.delete(values, 4))


def test_a_parameter_that_was_sampled_together_with_one_that_matters_is_not_shown() -> None:
    """A sampler takes good values of all parameters together, so that batch size alone has p < 0.001."""
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
def test_choices_of_any_type_have_a_share(choices: list[Any]) -> None:
    space = {"choice": CategoricalDistribution(choices), "lr": RATE}
    trials, values = study(16, lambda parameters: 3.0 * choices.index(parameters["choice"]), space=space)
    assert next(iter(shown(parameter_shares(trials, values)))) == "choice"
