"""`harness test`, from the command line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.trackers.mlflow.store import connect, tracking_uri
from tests.conftest import Outcome, Tracked
from tests.models.test_saved import legacy

Call = Callable[..., Outcome]


def test_what_is_printed_and_what_is_written(call: Call, project: Path, tracked: Tracked, scenery: Path) -> None:
    outcome = call("test", tracked.run.path, "--data", scenery, "--tracker", "none", "--min-accuracy", "0")
    assert outcome.code == 0
    assert "small_cnn at 32 px" in outcome.out
    assert "33 images (forest 15, sea 18)" in outcome.out
    assert "95 % interval" in outcome.out
    assert "misclassified" in outcome.out
    assert "class   precision  recall     F1  support" in outcome.out
    assert outcome.out.rstrip().splitlines()[-1].startswith("gate        PASS: ")
    (folder,) = (project / "runs/tiny").iterdir()
    assert {path.name for path in folder.iterdir()} == {"run.json", "metrics.json", "predictions.csv", "plots"}


def test_below_the_gate_is_exit_code_3_and_json_says_why(
    call: Call, project: Path, tracked: Tracked, scenery: Path
) -> None:
    checkpoint = tracked.run.checkpoint_of(tracked.run.best_fold() or {})
    outcome = call("test", checkpoint, "--data", scenery, "--tracker", "none", "--min-accuracy", "1", "--json")
    found = json.loads(outcome.out)
    assert {"accuracy", "interval", "n", "loss", "gate", "per_class", "confusion"} <= set(found)
    assert found["accuracy"] < 1
    assert outcome.code == 3
    assert found["gate"] == {"passed": False, "min_accuracy": 1.0}
    assert [line.split(":")[0].strip() for line in outcome.error_lines] == ["error", "why", "try"]
    assert "the gate is not met" in outcome.error_lines[0]
    assert "95 % interval" in outcome.error_lines[1]
    assert (project / found["run_dir"] / "predictions.csv").is_file()


def test_a_state_dict_of_the_earlier_program(call: Call, project: Path, scenery: Path) -> None:
    path = legacy(project)
    options = ("--classes", "sea,forest", "--data", scenery, "--min-accuracy", "0", "--image-size", "64", "--json")
    outcome = call("test", path, *options, "--tracker", "none")
    assert outcome.code == 0
    assert json.loads(outcome.out)["confusion"]["classes"] == ["sea", "forest"]
    assert json.loads(outcome.out)["n"] == 33


def test_it_is_a_run_of_its_own_in_mlflow(call: Call, store: Path, tracked: Tracked, scenery: Path) -> None:
    assert call("test", tracked.run.path, "--data", scenery, "--min-accuracy", "0").code == 0
    client = connect(tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert re.fullmatch(r"test_small_cnn_freeze_False_\d{6}", run.info.run_name)
    (folder,) = (store / "runs/tiny").iterdir()
    numbers = json.loads((folder / "metrics.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == numbers["accuracy"]
    assert run.data.metrics["recall/sea"] == numbers["per_class"]["sea"]["recall"]
    assert run.data.params["model"] == "small_cnn"
    assert {tag.value for data in run.inputs.dataset_inputs for tag in data.tags} == {"evaluation"}
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"run.json", "metrics.json", "predictions.csv", "plots"}


def test_each_test_into_one_folder_is_a_run_of_its_own(
    call: Call, store: Path, tracked: Tracked, scenery: Path
) -> None:
    for gate in ("0", "0.1"):
        options = ("--data", scenery, "--min-accuracy", gate, "--out", "verdict", "--json")
        outcome = call("test", tracked.run.path, *options)
        assert outcome.code == 0
        assert "warning" not in outcome.err
    client = connect(tracking_uri())
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert sorted(run.data.params["gate"] for run in found) == ["0.0", "0.1"]
    assert all(run.info.end_time > run.info.start_time for run in found)


def test_the_tests_of_an_experiment_are_listed_as_such(
    call: Call, project: Path, tracked: Tracked, scenery: Path
) -> None:
    shutil.copytree(tracked.project / "runs", project / "runs")
    call("test", tracked.run.id, "--data", scenery, "--tracker", "none", "--min-accuracy", "0")
    lines = [line for line in call("list").out.splitlines() if "runs/tiny/" in line]
    assert len(lines) == 2
    assert "  test of " in lines[0]
    assert f" on {scenery}, gate passed" in lines[0]
