"""A trial's folder is complete: the trial is reproduced, refitted and loaded with its settings and functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.config.experiment_file import is_same_function
from harness.errors import ModelError, UsageError
from harness.models.saved import load_model
from harness.runs.run_folder import RunFolder
from harness.workflows.experiment_copy import model_function
from harness.workflows.reproduce import IDENTICAL, planned
from tests.conftest import Outcome, write_experiment

SPACE = """
import torch

def network(activation):
    return lambda classes: torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 8), activation(),
        torch.nn.Linear(8, classes),
    )

MODELS = {"relu": network(torch.nn.ReLU), "tanh": network(torch.nn.Tanh)}
experiment = experiment.replace(model=MODELS["relu"])

def search_space(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-3, log=True)
    return {"lr": lr, "batch_size": 16, "model": MODELS[trial.suggest_categorical("network", ["tanh"])]}
"""


@pytest.fixture
def study(project: Path, scenery: Path, call: Callable[..., Outcome]) -> Path:
    """A study. The learning rate, batch size and model of trial 1 differ from the experiment file."""
    path = write_experiment(project / "experiments/own.py", scenery, epochs=1)
    path.write_text(path.read_text() + SPACE)
    assert call("search", "own", "--trials", "2", "-s", "image_size=16", "--pruner", "none").code == 0
    return project / "runs/own/study-own"


def test_a_trial_is_reproduced_with_its_own_settings(study: Path, call: Callable[..., Outcome]) -> None:
    trial = RunFolder.open(study / "trial-001")
    plan = planned(trial)
    recorded = trial.record.experiment
    own = plan.experiment.to_dict()
    assert is_same_function(own.pop("model"), recorded["model"])
    assert own == {name: value for name, value in recorded.items() if name != "model"}
    assert plan.experiment.lr < 1e-3
    assert (plan.experiment.batch_size, plan.experiment.image_size) == (16, 16)
    assert planned(RunFolder.open(study / "trial-000")).experiment.batch_size == 8
    outcome = call("reproduce", trial.path, "--json")
    assert (outcome.code, json.loads(outcome.out)["outcome"]) == (0, IDENTICAL)
    again = RunFolder.open(Path(json.loads(outcome.out)["again"]))
    assert again.record.experiment["lr"] == trial.record.experiment["lr"]

    path = trial.checkpoint_of(trial.record.folds[0])
    saved = load_model(path, function=model_function(path))
    assert isinstance(saved.model[3], torch.nn.Tanh)  # type: ignore[index]
    refitted = call("refit", trial.path)
    assert refitted.code == 0, refitted.err


def test_reproduce_refuses_a_trial_whose_file_gives_another_function(study: Path, call: Callable[..., Outcome]) -> None:
    """As in folders of an earlier version, which have the search's file."""
    trial = RunFolder.open(study / "trial-001")
    trial.keep_copy((study / "trial-000/experiment.py").read_bytes())
    with pytest.raises(UsageError, match="cannot be repeated") as caught:
        planned(trial)
    assert "ReLU" in caught.value.why
    assert "Tanh" in caught.value.why
    path = trial.checkpoint_of(trial.record.folds[0])
    with pytest.raises(ModelError, match="cannot be built"):
        load_model(path, function=model_function(path))


def test_a_study_does_not_continue_with_an_edited_function(study: Path, call: Callable[..., Outcome]) -> None:
    file = Path("experiments/own.py")
    text = file.read_text()
    options = ("search", "own", "--trials", "2", "-s", "image_size=16", "--pruner", "none", "--dry-run")
    file.write_text(text.replace("def search_space", "# a comment\n\n\ndef search_space"))
    assert call(*options).code == 0
    file.write_text(text.replace("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"))
    outcome = call(*options)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "started with different code: search_space, model changed since then" in outcome.error_lines[0]
