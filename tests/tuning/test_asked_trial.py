from __future__ import annotations

import copy
from typing import Any

import numpy as np
import optuna
import pytest

from harness.config.experiment import Experiment
from harness.errors import ExperimentError
from harness.tuning.asked_trial import AskedTrial, fixed_trial
from harness.tuning.space import Space


def drawn(function: Any, **fields: Any) -> dict[str, Any]:
    return Space(Experiment(**fields), function).draw()[0]


def without_duplicates(trial: Any) -> dict[str, Any]:
    """As in Optuna's FAQ; requested in optuna#4741."""
    size = trial.suggest_categorical("batch_size", [8, 16])
    for other in trial.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        if other.params == trial.params:
            raise optuna.TrialPruned(f"as trial {other.number}")
    return {"batch_size": size}


def test_asked_trial_has_the_attributes_of_optunas_trial() -> None:
    def space(trial: Any) -> dict[str, Any]:
        lr = trial.suggest_loguniform("lr", np.float32(1e-4), np.float64(1e-1))
        epochs = trial.suggest_int("epochs", np.int64(2), high=8, step=np.int64(2))
        rate = trial.suggest_discrete_uniform("rate", 0, 1, 0.25) + trial.suggest_uniform("other", 0, 1)
        trial.set_user_attr("mine", np.float32(0.5))
        assert trial.user_attrs == {"mine": 0.5}
        assert trial.params["epochs"] == epochs
        assert trial.number >= 0
        assert trial.relative_params == {}
        assert trial.datetime_start is not None
        assert trial.study.get_trials(deepcopy=False)
        return {"lr": np.exp(np.log(lr)), "epochs": np.int64(epochs), "weight_decay": rate}

    assert [*drawn(space)] == ["lr", "epochs", "rate", "other"]


def test_draw_continues_if_the_space_prunes() -> None:
    def often(trial: Any) -> dict[str, Any]:
        if trial.suggest_int("epochs", 1, 9) > 2:
            raise optuna.TrialPruned
        return {"epochs": trial.params["epochs"]}

    def always(trial: Any) -> dict[str, Any]:
        trial.suggest_int("epochs", 1, 9)
        raise optuna.TrialPruned

    assert [*drawn(without_duplicates)] == ["batch_size"]
    assert [*drawn(often)] == [*drawn(always)] == ["epochs"]
    with pytest.raises(optuna.TrialPruned):
        Space(Experiment(), always).changes(optuna.create_study().ask())
    with pytest.raises(ExperimentError, match="prunes every trial before"):
        drawn(lambda trial: (_ for _ in ()).throw(optuna.TrialPruned()))


@pytest.mark.parametrize("key", ["kind", "owner", "changes", "fold1"])
def test_set_user_attr_refuses_names_that_harness_uses(key: str) -> None:
    def space(trial: Any) -> dict[str, Any]:
        trial.set_user_attr(key, 1)
        return {"lr": trial.suggest_float("lr", 0.1, 1)}

    with pytest.raises(ExperimentError, match=f"cannot be named '{key}'") as caught:
        drawn(space)
    assert caught.value.fix == f'trial.set_user_attr("my_{key}", …)'


def test_set_user_attr_refuses_what_json_cannot_hold() -> None:
    trial = AskedTrial(optuna.create_study().ask(), {})
    with pytest.raises(ExperimentError, match="cannot be stored"):
        trial.set_user_attr("model", object())


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\ud800", "x" * 513, 7])
def test_suggest_refuses_names_that_a_storage_cannot_keep(name: Any) -> None:
    with pytest.raises(ExperimentError, match="a parameter cannot be named"):
        drawn(lambda trial: {"lr": trial.suggest_float(name, 0.1, 1)})


def test_suggest_categorical_refuses_choices_that_change() -> None:
    """Reported as optuna#2564."""
    with pytest.raises(ExperimentError, match="change from trial to trial") as caught:
        drawn(lambda trial: {"lr": trial.suggest_categorical("lr", [0.1, 0.2, 0.1 * (trial.number + 1)][:3])})
    assert "suggest_categorical('lr_2', …)" in caught.value.fix


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda trial: trial.suggest_float("lr", 0.1, 1, step=0.1, log=True), "`step` is not supported"),
        (lambda trial: trial.suggest_float("lr", 1, 0.1), "low <= high"),
        (lambda trial: trial.suggest_float("lr", 0, float("inf")), "not finite"),
        (lambda trial: trial.suggest_float("lr", 0, float("nan")), "not finite"),
        (lambda trial: trial.suggest_float("lr", "0.1", 1), "must be real number"),
        (lambda trial: trial.suggest_int("epochs", 1.5, 4), "1.5 is not a whole number"),
        (lambda trial: trial.suggest_int("epochs", 1, 10**400), "too large"),
        (lambda trial: trial.suggest_int("epochs", 1, 9, step=2, log=True), "only accept step is 1"),
        (lambda trial: trial.suggest_categorical("epochs", [1, 10**400]), "it would return a changed"),
        (lambda trial: trial.suggest_categorical("lr", []), "one or more"),
        (lambda trial: {1: trial.suggest_float("lr", 0.1, 1)}, "it must return a dict of fields"),
    ],
)
def test_draw_refuses_what_optuna_refuses(function: Any, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        drawn(function)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda trial: trial.suggest_float("lr", 0.1, 1) + trial.suggest_float("lr", 2, 3), "asks for 'lr' twice"),
        (lambda trial: trial.suggest_float("lr", 1, 2) + trial.suggest_int("lr", 1, 2), "asks for 'lr' twice"),
        (
            lambda trial: (trial.suggest_int if trial.number else trial.suggest_float)("lr", 1, 2),
            "has another type than",
        ),
        (lambda trial: trial.report(0.5, 1), "trial.report cannot be used"),
        (lambda trial: trial.set_constraint("size", 1.0), "if the constraint is not met"),
    ],
)
def test_suggest_refuses_two_ranges_with_one_name(function: Any, words: str) -> None:
    """Optuna ignores the second of two ranges with the same name: optuna#797."""
    with pytest.raises(ExperimentError) as caught:
        drawn(lambda trial: {"lr": function(trial)})
    assert words in str(caught.value)


def test_suggest_accepts_the_same_range_twice() -> None:
    assert [*drawn(lambda trial: {"lr": max(trial.suggest_float("lr", 0.1, 1) for _ in range(2))})] == ["lr"]


def test_params_has_fixed_values_and_compares_like_optunas() -> None:
    def space(trial: Any) -> dict[str, Any]:
        trial.suggest_float("lr", 0.1, 1)
        trial.suggest_categorical("batch_size", [8, 16])
        epochs = trial.suggest_int("epochs", 1, 9)
        assert (trial.params["lr"], trial.params["batch_size"]) == (0.02, 4)
        assert trial.params == {"epochs": epochs}
        with pytest.raises(KeyError):
            trial.params["other"]
        return {"epochs": epochs}

    experiment = Experiment().override({"lr": "0.02", "batch_size": "4"})
    assert [*Space(experiment, space).draw()[0]] == ["epochs"]


def test_asked_trial_can_be_copied() -> None:
    trial = AskedTrial(optuna.create_study().ask(), {"lr": 0.5})
    assert copy.copy(trial).suggest_float("lr", 0.1, 1) == 0.5


def test_study_stop_is_stored_with_the_trial() -> None:
    trial = AskedTrial(optuna.create_study().ask(), {})
    assert trial.user_attrs == {}
    trial.study.stop()
    assert trial.user_attrs == {"stop": True}


def test_fixed_trial_has_a_study() -> None:
    """Optuna's fixed trial has no study: optuna#4543."""
    assert without_duplicates(fixed_trial({"batch_size": 16}, 3)) == {"batch_size": 16}
    assert fixed_trial({}, 3).number == 3
    assert fixed_trial({"epochs": 2}).suggest_categorical("epochs", (np.int64(size) for size in (1, 2))) == 2
    assert fixed_trial({}).relative_params == {}


def test_changes_raises_errors_of_the_storage_unchanged() -> None:
    study = optuna.create_study()
    trial = study.ask()
    study.tell(trial, state=optuna.trial.TrialState.FAIL)  # as another process does if it considers this one dead
    space = Space(Experiment(), lambda trial: {"lr": trial.suggest_float("lr", 0.1, 1)})
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        space.changes(trial)
