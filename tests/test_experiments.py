"""The experiments that come with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.config.experiment import Experiment
from harness.config.experiment_file import load

FOLDER = Path(__file__).parents[1] / "experiments"
PHASES: dict[str, dict[str, Any]] = {
    "phase1_baseline": {"folds": 5, "epochs": 2, "lr": 1e-5, "weight_decay": 1e-5, "batch_size": 16, "freeze": True},
    "phase2_champion": {"folds": 3, "epochs": 5, "lr": 1e-3, "batch_size": 16, "freeze": True},
    "phase3_finetune": {"folds": 3, "epochs": 2, "lr": 1e-2, "batch_size": 32, "freeze": False},
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_each_experiment_loads_and_has_a_docstring(path: Path) -> None:
    assert isinstance(load(path), Experiment)
    assert path.read_text().startswith('"""')


@pytest.mark.parametrize("name", PHASES)
def test_each_phase_has_the_settings_of_the_original_program(name: str) -> None:
    experiment = load(FOLDER / f"{name}.py")
    common = {"model": "resnet18", "weights": "imagenet", "image_size": 224, "optimizer": "adam"}
    for field, value in (common | PHASES[name]).items():
        assert getattr(experiment, field) == value, field


@pytest.mark.parametrize("name", ["quickstart", "sea_forest", *PHASES])
def test_each_experiment_is_short(name: str) -> None:
    experiment, _, space = (FOLDER / f"{name}.py").read_text().partition("def search_space")
    assert len(experiment.splitlines()) < 25
    assert len(space.splitlines()) < 15
