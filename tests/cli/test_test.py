"""`harness test`, from the command line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.trackers.mlflow.store import connect, tracking_uri
from tests.conftest import Outcome, Tracked
from tests.models.test_saved import legacy

Call = Callable[..., Outcome]


def test_what_is_printed_and_what_is_written(call: Call, project: Path, tracked: Tracked, scenery: Path) -> None:
    outcome = call(
        "test", tracked.run.path, "--data", scenery, "--allow-leak", "--tracker", "none", "--min-accuracy", "0"
    )
    assert outcome.code == 0
    assert "small_cnn at 32 px" in outcome.out
    assert "33 images (forest 15, sea 18)" in outcome.out
    assert "95 % interval" in outcome.out
    assert "misclassified" in outcome.out
    assert "class   precision  recall     F1  support" in outcome.out
    assert outcome.out.rstrip().splitlines()[-1].startswith("gate         PASS: ")
    (folder,) = (project / "runs/tiny").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "console.log",
        "metrics.json",
        "predictions.csv",
        "predictions",
        "plots",
        "report.html",
    }


def test_below_the_gate_is_exit_code_3_and_json_says_why(
    call: Call, project: Path, tracked: Tracked, scenery: Path
) -> None:
    checkpoint = tracked.run.checkpoint_of(tracked.run.best_fold() or {})
    outcome = call(
        "test", checkpoint, "--data", scenery, "--allow-leak", "--tracker", "none", "--min-accuracy", "1", "--json"
    )
    output = json.loads(outcome.out)
    assert {"accuracy", "interval", "n", "metrics", "gate", "per_class", "confusion"} <= set(output)
    assert output["accuracy"] < 1
    assert outcome.code == 3
    assert (output["gate"]["passed"], output["gate"]["min_accuracy"]) == (False, 1.0)
    assert [line.split(":")[0].strip() for line in outcome.error_lines] == ["error", "why", "try"]
    assert "the gate is not met" in outcome.error_lines[0]
    assert "95 % interval" in outcome.error_lines[1]
    assert (project / output["run_dir"] / "predictions.csv").is_file()


def test_floors_of_classes_and_looks_at_the_images(call: Call, project: Path, tracked: Tracked, scenery: Path) -> None:
    options = ("--data", scenery, "--allow-leak", "--tracker", "none")
    gate = (
        "--metric",
        "balanced_accuracy",
        "--min-accuracy",
        "0.1",
        "--min-recall",
        "sea=0",
        "--min-recall",
        "forest=1",
    )
    first = call("test", tracked.run.path, *options)
    assert "tested       the first test on these 33 images" in first.out
    outcome = call("test", tracked.run.path, *options, *gate, "--min-recall", "forest=1", "--confident", "--json")
    output = json.loads(outcome.out)
    assert outcome.code == 3
    assert output["looks"] == {"tests": 2, "images": 33, "n": 33, "models": 1, "luck": 0.0}
    assert (output["gate"]["metric"], output["gate"]["confident"]) == ("balanced_accuracy", True)
    floors = {floor["name"]: floor["passed"] for floor in output["gate"]["floors"]}
    assert floors == {"balanced accuracy": True, "recall of sea": True, "recall of forest": False}
    assert "the gate is not met: recall of forest" in outcome.error_lines[0]
    for wrong in ("sea", "sea=2", "=0.5", "sea=nan"):
        outcome = call("test", tracked.run.path, *options, "--min-recall", wrong)
        assert (outcome.code, outcome.error_lines[0]) == (2, f"error: --min-recall {wrong} is not a floor")
    assert call("test", tracked.run.path, *options, "--min-recall", "lake=0.5").code == 2


def test_a_state_dict_of_the_earlier_program(call: Call, project: Path, scenery: Path) -> None:
    path = legacy(project)
    options = (
        "--classes",
        "sea,forest",
        "--data",
        scenery,
        "--allow-leak",
        "--min-accuracy",
        "0",
        "--image-size",
        "64",
        "--json",
    )
    outcome = call("test", path, *options, "--tracker", "none")
    assert outcome.code == 0
    assert json.loads(outcome.out)["confusion"]["classes"] == ["sea", "forest"]
    assert json.loads(outcome.out)["n"] == 33


@pytest.mark.slow
def test_each_is_a_run_of_its_own_in_mlflow(call: Call, store: Path, tracked: Tracked, scenery: Path) -> None:
    for gate in ("0.1", "0"):  # into one folder, as in a pipeline
        options = ("--data", scenery, "--allow-leak", "--min-accuracy", gate, "--out", "verdict", "--json")
        outcome = call("test", tracked.run.path, *options)
        assert outcome.code == 0
        assert "warning" not in outcome.err
    client = connect(tracking_uri())
    run, before = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert [each.data.params["gate"] for each in (before, run)] == ["0.1", "0.0"]
    assert all(each.info.end_time > each.info.start_time for each in (before, run))
    assert re.fullmatch(r"test_small_cnn_freeze_False_\d{6}", run.info.run_name)
    numbers = json.loads((store / "verdict/metrics.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == numbers["accuracy"]
    assert run.data.metrics["recall/sea"] == numbers["per_class"]["sea"]["recall"]
    assert run.data.params["model"] == "small_cnn"
    assert {tag.value for data in run.inputs.dataset_inputs for tag in data.tags} == {"evaluation"}
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"run.json", "metrics.json", "predictions.csv", "plots"}


def test_the_tests_of_an_experiment_are_listed_as_such(
    call: Call, project: Path, tracked: Tracked, scenery: Path
) -> None:
    shutil.copytree(tracked.project / "runs", project / "runs")
    call("test", tracked.run.id, "--data", scenery, "--allow-leak", "--tracker", "none", "--min-accuracy", "0")
    assert "test of" not in call("list").out
    lines = [line for line in call("list", "--tests").out.splitlines() if "  tiny  " in line]
    assert len(lines) == 2
    assert "  test of " in lines[0]
    assert f" on {scenery}, gate passed" in lines[0]


def test_a_summary_in_markdown_is_added_to_a_page(call: Call, project: Path, tracked: Tracked, scenery: Path) -> None:
    page = project / "page.md"
    page.write_text("before\n")
    for gate, word in {"0": "Passed", "1": "Failed"}.items():
        options = (
            "--data",
            scenery,
            "--allow-leak",
            "--tracker",
            "none",
            "--min-accuracy",
            gate,
            "--summary",
            page,
            "--json",
        )
        output = json.loads(call("test", tracked.run.path, *options).out)
        assert f"## {word}: fold" in page.read_text()
    (forest, sea) = output["confusion"]["counts"]
    text = page.read_text()
    assert text.startswith("before\n")
    assert f"| forest | {forest[0]} | {forest[1]} |\n| sea | {sea[0]} | {sea[1]} |" in text
    assert f"Accuracy **{100 * output['accuracy']:.1f} %**" in text


def test_a_leak_is_shown_wherever_the_number_is(call: Call, store: Path, tracked: Tracked, scenery: Path) -> None:
    page = store / "page.md"
    options = ("--data", scenery, "--min-accuracy", "0", "--summary", page)
    refused = call("test", tracked.run.path, *options)
    assert (refused.code, refused.error_lines[0]) == (4, "error: the model was trained on all of these 33 images")
    assert not list((store / "runs").rglob("run.json"))
    outcome = call("test", tracked.run.path, *options, "--allow-leak")
    leak = "LEAK: 33 of the 33 images were trained on, so it is too good"
    assert re.search(rf"^accuracy .*{leak}$", outcome.whole_out, re.MULTILINE)
    assert leak in page.read_text()
    assert leak in call("list", "--tests").out
    client = connect(tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.data.tags["data.leaked"] == "33"
    assert leak in run.data.tags["mlflow.note.content"]
    (folder,) = (store / "runs/tiny").iterdir()
    assert json.loads((folder / "metrics.json").read_text())["leaked"] == 33


def test_test_of_a_folder_without_classes_suggests_an_option_that_it_has(
    call: Call, project: Path, tracked: Tracked, scenery: Path
) -> None:
    outcome = call("test", tracked.run.path, "--data", scenery / "sea")
    assert outcome.code == 4
    assert outcome.error_lines[2].startswith(f"  try: --data {scenery}, if 'sea' is one of the classes")
