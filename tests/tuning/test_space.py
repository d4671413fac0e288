from __future__ import annotations

from typing import Any

import optuna
import pytest

from harness.config.experiment import Experiment
from harness.errors import ExperimentError
from harness.tuning.space import Space, default_space, described


def changes_of(space: Space, **values: Any) -> dict[str, Any]:
    """The changes of the space for a trial with these values."""
    return space.changes(optuna.trial.FixedTrial(values))


def own(trial: Any) -> dict[str, Any]:
    freeze = trial.suggest_categorical("freeze", [False, True])
    return {
        "freeze": freeze,
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "epochs": trial.suggest_int("epochs", 2, 8, step=2),
        "views": 2 if freeze else None,
    }


def test_default_space_contains_the_experiments_own_values() -> None:
    experiment = Experiment(lr=0.5, batch_size=20, freeze="layer2")
    space = Space(experiment, default_space(experiment))
    distributions, examples = space.draw()
    assert set(distributions) == {"lr", "batch_size", "freeze"}
    assert space.fitting(distributions) == {"lr": 0.5, "batch_size": 20, "freeze": "layer2"}
    assert {example.freeze for example in examples} == {False, True, "layer2"}


def test_changes_may_be_computed_from_the_parameters() -> None:
    space = Space(Experiment(), own)
    assert changes_of(space, freeze=True, lr=0.01, epochs=4) == {"freeze": True, "lr": 0.01, "epochs": 4, "views": 2}
    assert changes_of(space, freeze=False, lr=0.01, epochs=4)["views"] is None
    assert described(space.draw()[0]) == [
        "freeze: False, True",
        "lr: 0.0001 to 0.1 (log)",
        "epochs: 2 to 8 in steps of 2",
    ]


def test_changes_leaves_out_values_of_the_command_line() -> None:
    space = Space(Experiment().override({"lr": "0.02", "freeze": "true"}), own)
    assert set(space.draw()[0]) == {"epochs"}
    assert changes_of(space, epochs=4) == {"epochs": 4, "views": 2}


def test_written_records_the_experiments_values_that_are_in_the_space() -> None:
    experiment = Experiment(lr=1.0, freeze=True, epochs=4)  # the space does not contain this learning rate
    space = Space(experiment, own)
    distributions = space.draw()[0]
    assert space.fitting(distributions) == {"freeze": True, "epochs": 4}
    study = optuna.create_study()
    study.enqueue_trial(space.fitting(distributions))
    trial = study.ask()
    space.written(trial, distributions)
    assert trial.params == {"freeze": True, "epochs": 4}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda trial: {"rate": trial.suggest_float("rate", 0, 1)}, "no field 'rate'"),
        (lambda trial: {"lr": trial.suggest_float("lr", -1, 1)}, "lr = "),
        (lambda trial: {"folds": trial.suggest_int("folds", 2, 5)}, "it changes folds"),
        (lambda trial: {"seed": trial.suggest_int("seed", 0, 5)}, "it changes seed"),
        (lambda trial: trial.suggest_float("lr", 0, 1), "returned a float"),
        (lambda trial: {"lr": 1 / 0}, "ZeroDivisionError"),
        (lambda trial: {"batch_size": trial.suggest_categorical("batch_size", [8, trial.number + 9])}, "dynamic"),
    ],
)
def test_draw_finds_errors_in_a_space(function: Any, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        Space(Experiment(), function).draw()
    assert words in str(caught.value)
    assert "search_space" in caught.value.what


def test_written_accepts_a_space_that_fails() -> None:
    models = {"wide": 1, "deep": 2}

    def space(trial: Any) -> dict[str, Any]:
        chosen = models[trial.suggest_categorical("model", ["wide", "deep"])]
        return {"lr": trial.suggest_float("lr", 1e-3, 1e-1), "epochs": chosen if chosen > 0 else 1 / 0}

    search_space = Space(Experiment(model="small_cnn", lr=0.01), space)
    distributions = search_space.draw()[0]
    study = optuna.create_study()
    study.enqueue_trial(search_space.fitting(distributions))
    trial = study.ask()
    search_space.written(trial, distributions)
    assert trial.params == {"lr": 0.01}
    with pytest.raises(ExperimentError, match=r"it calls no trial\.suggest"):
        Space(Experiment(), lambda _: {}).draw()
