from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome, write_experiment

Call = Callable[..., Outcome]


def only_run(project: Path, name: str = "tiny") -> dict[str, Any]:
    (path,) = (project / "runs" / name).glob("*/run.json")
    return dict(json.loads(path.read_text()))


def test_run_prints_plan_result_and_next_commands(call: Call, project: Path, rendered: None) -> None:
    outcome = call("run", "tiny")
    assert outcome.code == 0
    assert "warning" not in outcome.err
    names = {path.name: path.stat().st_size for path in (project / "runs/tiny").glob("*/plots/*.png")}
    assert {"curves.png", "confusion.png", "fold1-confusion.png", "reliability.png", "errors.png"} <= {*names}
    assert min(names.values()) > 2000  # bytes: none is a blank page
    assert outcome.err.startswith("tiny: 2 of 2 folds of 2 epochs\n")
    assert outcome.err.count("fold 1/2  epoch ") == 2
    assert "\ntiny: out-of-fold accuracy " in outcome.out
    assert "95 % interval" in outcome.out
    assert "run folder   runs/tiny/" in outcome.out
    assert "next         harness" in outcome.out


def test_run_json_is_one_object_on_stdout(call: Call, project: Path) -> None:
    outcome = call("run", "tiny", "--json")
    output = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1
    assert {"run_dir", "status", "accuracy", "interval", "n", "folds", "fit_seconds", "seconds"} <= set(output)
    assert {"accuracy", "loss", "epoch", "checkpoint"} <= set(output["folds"][0])
    assert output["status"] == "finished"
    assert output["n"] == 33
    assert (project / output["folds"][0]["checkpoint"]).is_file()
    assert 0 < output["fit_seconds"] < output["seconds"]
    assert only_run(project)["accuracy"] == output["accuracy"]


def test_run_applies_and_records_overrides(call: Call, project: Path) -> None:
    assert call("run", "tiny", "-s", "lr=0.5", "-s", "epochs=1", "--fold", "2", "--runs", "elsewhere").code == 0
    (path,) = (project / "elsewhere/tiny").glob("*/run.json")
    written = json.loads(path.read_text())
    assert written["experiment"]["lr"] == 0.5
    assert written["origins"]["lr"] == "command line"
    assert [fold["fold"] for fold in written["folds"]] == [2]


def test_run_dry_run_shows_every_field_with_its_origin(call: Call, project: Path) -> None:
    outcome = call("run", "tiny", "--dry-run", "-s", "seed=7")
    rows = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert "command line" in rows["seed"]
    assert "experiment file" in rows["epochs"]
    assert "default" in rows["min_accuracy"]
    assert "tiny: 2 of 2 folds" in outcome.err
    assert not (project / "runs").exists()
    values = json.loads(call("run", "tiny", "--dry-run", "--json").out)
    assert values["image_size"] == {"value": 32, "origin": "experiment file"}


def test_run_fast_dev_run_executes_every_step(call: Call, project: Path, scenery: Path) -> None:
    write_experiment(project / "experiments/long.py", scenery, epochs=500, batch_size=4)
    outcome = call("run", "long", "--fast-dev-run")
    assert outcome.code == 0
    assert "everything works" in outcome.out
    written = only_run(project, "long")
    assert written["fast_dev_run"] is True
    assert [fold["epochs"] for fold in written["folds"]] == [1, 1]
    assert written["n"] == 2 * 2 * 4
    assert written["origins"]["epochs"] == "command line"
    lines = (next((project / "runs/long").iterdir()) / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["step"] == 2 for line in lines)


def test_run_file_runs_the_experiment(project: Path) -> None:
    path = project / "experiments/tiny.py"
    ending = '\nif __name__ == "__main__":\n    run_file(__file__)\n'
    path.write_text(path.read_text().replace("import Experiment", "import Experiment, run_file") + ending)
    command = [sys.executable, "experiments/tiny.py", "-s", "epochs=1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["n"] == 33
    assert only_run(project)["experiment"]["epochs"] == 1
    (copied,) = (project / "runs/tiny").glob("*/experiment.py")
    assert copied.read_text() == path.read_text()
    assert only_run(project)["command"] == ["experiments/tiny.py", "-s", "epochs=1", "--json"]


def test_run_skip_corrupt_leaves_out_corrupt_images(call: Call, project: Path, scenery: Path) -> None:
    (project / "data").mkdir()
    for folder in scenery.iterdir():
        (project / "data" / folder.name).mkdir()
        for path in folder.iterdir():
            (project / "data" / folder.name / path.name).write_bytes(path.read_bytes())
    (project / "data/sea/sea03.jpg").write_bytes(b"broken")
    outcome = call("run", "tiny", "-s", "data=data")
    assert outcome.code == 4
    assert "sea/sea03.jpg (a text file)" in outcome.err
    assert not (project / "runs").exists()
    outcome = call("run", "tiny", "-s", "data=data", "--skip-corrupt")
    assert outcome.code == 0
    assert only_run(project)["data"]["skipped"] == {"sea/sea03.jpg": "a text file"}
    assert only_run(project)["n"] == 32


def epochs_of(project: Path, name: str) -> int:
    """How many epochs the run of that name has ended so far."""
    return sum(len(path.read_text().splitlines()) for path in project.glob(f"runs/{name}/*/metrics.jsonl"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "interrupted"),
        pytest.param(signal.SIGHUP, 129, "interrupted", marks=pytest.mark.slow),
        (signal.SIGKILL, -9, "died"),
    ],
)
def test_run_stopped_by_a_signal_keeps_its_results(
    number: int, code: int, status: str, call: Call, project: Path, scenery: Path
) -> None:
    write_experiment(project / "experiments/long.py", scenery, epochs=5000)
    command = [sys.executable, "-m", "harness", "run", "long"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not epochs_of(project, "long") > 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert [line.split(":")[0].strip() for line in err.splitlines()[-3:]] == ["error", "why", "try"]
        assert only_run(project, "long")["status"] == status
        left = {path.name for path in (project / "runs/long").glob("*/checkpoints/*")}
        assert left >= {"fold1.pt"}
    assert json.loads(call("list", "--json").out)["runs"][0]["status"] == status


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_run_reports_a_signal_to_loader_processes_as_an_interruption(project: Path, scenery: Path) -> None:
    write_experiment(project / "experiments/long.py", scenery, epochs=5000, workers=2)
    command = [sys.executable, "-m", "harness", "run", "long"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not epochs_of(project, "long") > 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert only_run(project, "long")["status"] == "interrupted"


def test_run_continues_if_stderr_is_closed(project: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", "tiny"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert only_run(project)["status"] == "finished"


def test_run_json_does_not_contain_prints_of_the_experiment(call: Call, project: Path) -> None:
    path = project / "experiments/tiny.py"
    path.write_text("print('hello')\n" + path.read_text())
    outcome = call("run", "tiny", "-s", "epochs=1", "--json")
    assert json.loads(outcome.out)["n"] == 33
    assert outcome.err.startswith("hello\n")


def test_run_out_replaces_the_earlier_run(project: Path, call: Callable[..., Outcome]) -> None:
    for fold in ("1", "2"):
        outcome = call("run", "tiny", "--fold", fold, "--out", "out/here", "--json")
        assert outcome.code == 0
        assert json.loads((project / "out/here/metrics.json").read_text())["folds"][0]["fold"] == int(fold)
    assert [path.name for path in (project / "out/here/checkpoints").glob("fold*.pt")] == ["fold2.pt"]
    (project / "mine").mkdir()
    (project / "mine/precious.txt").write_text("x")
    assert call("run", "tiny", "--out", "mine").code == 2
    assert [path.name for path in (project / "mine").iterdir()] == ["precious.txt"]


def test_run_require_clean_refuses_untraceable_code(project: Path, call: Callable[..., Outcome]) -> None:
    outcome = call("run", "tiny", "--require-clean")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert not (project / "runs").exists()
