from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runs.record_parts import ProgressRecord, Status
from harness.trackers.mlflow.store import recorded, tracking_uri
from tests.conftest import Outcome
from tests.predicted import lay_run, lay_test, predicted

Call = Callable[..., Outcome]


def test_list_shows_experiments_and_newest_runs_first(call: Call, project: Path) -> None:
    (project / "experiments/broken.py").write_text("x = \n")
    assert "no runs in runs yet: harness run EXPERIMENT" in call("list").out
    for epochs in (1, 2):
        assert call("run", "tiny", "-s", f"epochs={epochs}").code == 0
    (project / "runs/tiny/torn").mkdir()
    (project / "runs/tiny/torn/run.json").write_text('{"status": ')
    outcome = call("list")
    assert outcome.code == 0
    assert "experiments/tiny.py" in outcome.out
    assert "cannot be loaded: experiments/broken.py:1: syntax error" in outcome.out
    assert outcome.out.count("finished") == 2
    listed = json.loads(call("list", "--json").out)
    assert len(listed["runs"]) == 2
    newest = json.loads((project / listed["runs"][0]["run_dir"] / "run.json").read_text())
    assert newest["experiment"]["epochs"] == 2
    assert "epochs=2" in outcome.out
    assert len(json.loads(call("list", "-n", "1", "--json").out)["runs"]) == 1
    assert "latest runs (1 of 2; -n 2 shows all)" in call("list", "-n", "1").out
    assert call("run", "tiny", "--fold", "2").code == 0
    assert "fold 2 only" in call("list").out


def test_list_says_what_mlflow_lacks_and_why(call: Call, project: Path) -> None:
    wanted = {"status": Status.FINISHED, **recorded(tracking_uri())}
    failed, sent, complete = (
        lay_run(project / "runs", predicted("+-"), **wanted, trackers={"mlflow": state})
        for state in ("the disk is full", "still being sent", "complete")
    )
    with sent.sending():
        listed = {
            run["run_dir"]: run["mlflow"] for run in json.loads(call("list", "--json", "--runs", "runs").out)["runs"]
        }
        assert [listed[run.path.relative_to(project).as_posix()] for run in (failed, sent, complete)] == [
            "incomplete in MLflow: the disk is full",
            "being sent to MLflow",
            "",
        ]
        assert "incomplete in MLflow: 1 of 3 runs; the next run or harness ui sends" in call("list", "-n", "0").out


def listed(call: Call, *options: str) -> list[str]:
    """The full ids of the runs that `harness list --json` shows."""
    outcome = call("list", "--json", *options)
    assert outcome.code == 0, outcome.err
    return [Path(run["run_dir"]).name for run in json.loads(outcome.out)["runs"]]


def test_list_hides_tests_and_filters_by_experiment_and_status(call: Call, project: Path) -> None:
    runs = project / "runs"
    run = lay_run(runs, predicted("+-"))
    other = lay_run(runs, predicted("++"), name="other", status=Status.FAILED)
    test = lay_test(runs, predicted("+-"))
    assert {*listed(call)} == {run.id, other.path.name}
    assert {*listed(call, "--tests")} == {run.id, other.path.name, test.id}
    assert listed(call, "--experiment", "other") == [other.path.name]
    assert listed(call, "--experiment", "experiments/other.py") == [other.path.name]
    assert listed(call, "--status", "failed") == [other.path.name]
    assert {*listed(call, "--status", "failed", "--status", "finished")} == {run.id, other.path.name}
    assert listed(call, "--status", "running") == []
    assert "no such runs in runs" in call("list", "--status", "running").out
    assert "experiments/tiny.py" not in call("list", "--experiment", "other").out
    assert call("list", "--status", "done").code == 2


def test_list_shows_a_short_id_that_other_commands_take(call: Call, project: Path) -> None:
    run = lay_run(project / "runs", predicted("+-+-"))
    (short,) = [row["id"] for row in json.loads(call("list", "--json").out)["runs"]]
    assert run.id.endswith(short)
    assert len(short) == 4
    assert f"  {short}  tiny  " in call("list").out
    for command in (
        *(("report", short), ("runs", "prune", short, "--dry-run"), ("compare", short, short), ("test", short)),
        *(("resume", short), ("refit", short), ("reproduce", short), ("predict", short, "a.jpg"), ("sync", short)),
        *(("champion", "promote", short), ("export", short)),
    ):
        outcome = call(*command)
        assert "is no run folder" not in outcome.err, command


def test_list_fits_the_terminal(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_run(project / "runs", predicted("+-"), status=Status.FAILED, error="a reason that is long, " * 20)
    lay_run(
        *(project / "runs", predicted("+-")),
        planned=5,
        status=Status.INTERRUPTED,
        progress=ProgressRecord(2, 7, 0),
        name="a-name-of-an-experiment",
    )
    assert max(map(len, call("list").out.splitlines())) > 400  # a file gets all of it
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = call("list").out.splitlines()
    assert max(map(len, lines)) == 100
    header, *rows = lines[lines.index("latest runs") + 1 :][:3]
    starts = [header.index(name) for name in ("id", "experiment", "started", "status", "result")]
    for row in rows:
        assert all(row[start - 2 : start] == "  " and row[start] != " " for start in starts)
    assert any(row.endswith("…") for row in rows)
    assert any(line.startswith("to continue ") and ": harness resume " in line for line in lines)
