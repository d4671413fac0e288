"""The accuracies that the README states: of the quickstart on the demo data, and on real photographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.config.experiment_file import load
from harness.workflows.crossval import cross_validate
from harness.workflows.make_plan import make_plan

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.slow
def test_quickstart_reaches_95_percent_in_the_first_fold(demo: Path, tmp_path: Path) -> None:
    experiment = load(EXPERIMENTS / "quickstart.py").replace(data=str(demo / "train"), test_data=None, trackers=())
    result = cross_validate(make_plan(experiment, fold=1), runs=tmp_path)
    assert result.accuracy.value >= 0.95


@pytest.mark.slow
def test_quickstart_reaches_95_percent_in_each_precision(demo: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        experiment = load(EXPERIMENTS / "quickstart.py").replace(
            data=str(demo / "train"), test_data=None, trackers=(), precision=precision
        )
        assert cross_validate(experiment, runs=tmp_path).accuracy.value >= 0.95


@pytest.mark.slow
def test_phase2_champion_reaches_the_accuracy_of_the_original_program(
    scenes: Path, scenes_weights: Path, tmp_path: Path
) -> None:
    experiment = load(EXPERIMENTS / "phase2_champion.py")
    changes = {"data": str(scenes / "train"), "test_data": None, "trackers": (), "weights": str(scenes_weights)}
    result = cross_validate(dataclasses.replace(experiment, **changes), runs=tmp_path)
    low, _ = result.accuracy.interval
    assert result.accuracy.n == 949
    assert result.accuracy.value >= 0.941 - (result.accuracy.value - low)
