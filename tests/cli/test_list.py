from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from harness.runs.record_parts import Status
from harness.trackers.mlflow.store import recorded, tracking_uri
from tests.conftest import Outcome
from tests.predicted import lay_run, predicted

Call = Callable[..., Outcome]


def test_experiments_and_runs_are_shown_newest_first(call: Call, project: Path) -> None:
    (project / "experiments/broken.py").write_text("x = \n")
    assert "no runs in runs yet" in call("list").out
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
