"""Tests of removal: runs are removed completely, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.runs import trust
from harness.runs.looks import add_look
from harness.runs.pending_removals import pending_removals
from harness.runs.record_parts import Status, TrialOf
from harness.runs.records import StudyRecord
from harness.runs.removal import take_away
from harness.runs.run_folder import RunFolder, now
from harness.runs.study_folder import StudyFolder
from harness.util.locks import locked
from harness.workflows.refit import refit_run
from harness.workflows.removal.prune import Conditions
from harness.workflows.removal.remove import plan_pruning, plan_removal, remove
from tests.runs.test_looks import made as images_judged
from tests.toy import run_record
from tests.workflows.test_prune_runs import add

STORE = {"mlflow": "sqlite:///mlflow.db"}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def test_remove_keeps_runs_in_use_and_finishes_interrupted_removals(runs: Path) -> None:
    gone, resumed, sent, cut_off = (add(runs, stores=STORE) for _ in range(4))
    take_away(cut_off.path, runs)
    plan = plan_pruning(Conditions(keep_best=0), runs)
    assert len(plan.going) == 3
    RunFolder.open(resumed.path).update(status=Status.RUNNING)
    with locked(sent.path / ".sending"):
        outcome = remove(plan, runs)
    assert outcome.removed == [gone.path]
    assert outcome.finished == 1
    assert outcome.kept == {
        resumed.path: "it is running",
        sent.path: "another process sends it now",
    }
    assert {each.id for each in pending_removals(STORE["mlflow"])} == {gone.id, cut_off.id}
    assert {path.name for path in runs.rglob("run.json")} == {"run.json"}
    assert len(list(runs.rglob("run.json"))) == 2


def test_remove_keeps_a_run_that_replaced_the_planned_one(runs: Path) -> None:
    record = run_record("tiny", status=Status.FINISHED)
    out = RunFolder.create(runs, record, runs / "tiny/out")
    plan = plan_removal(["runs/tiny/out"], runs)
    newer = RunFolder.create(runs, record, out.path)
    assert remove(plan, runs).removed == []
    assert RunFolder.open(out.path).id == newer.id


def test_remove_of_a_copy_leaves_the_run_in_mlflow(runs: Path) -> None:
    folder = add(runs, stores=STORE)
    copy = Path(shutil.copytree(folder.path, folder.path.with_name("copy")))
    assert remove(plan_removal([str(copy)], runs), runs).removed == [copy]
    assert folder.path.exists()
    assert pending_removals(STORE["mlflow"]) == []
    trust.RUNS.unlink()
    outcome = remove(plan_removal([folder.id], runs), runs)
    assert outcome.notes == [f"{folder.path} stays in MLflow, because it was not made in this project"]


def test_remove_removes_a_study_but_no_single_trial(runs: Path) -> None:
    record = StudyRecord(
        name="wide", experiment_name="tiny", id="abc", status=Status.FINISHED, started=now(), stores=STORE
    )
    study = StudyFolder.at(runs, record)
    study.path.mkdir(parents=True)
    study.update()
    of_study = TrialOf("wide", "abc", 0)
    trial = RunFolder.create(runs, run_record("tiny", study=of_study, status=Status.FINISHED), study.trial(0))
    with pytest.raises(UsageError, match="is a trial of a study"):
        plan_removal(["study-wide/trial-000"], runs)
    assert remove(plan_removal(["wide"], runs), runs).removed == [study.path]
    assert not study.path.exists()
    assert {(each.id, each.kind) for each in pending_removals(STORE["mlflow"])} == {(trial.id, "run"), ("abc", "study")}


def test_remove_of_models_keeps_the_numbers_and_records_it(runs: Path) -> None:
    folder, unfinished = add(runs), add(runs, None, status=Status.FAILED)
    for each in (folder, unfinished):
        (each.path / "checkpoints").mkdir()
        (each.path / "checkpoints/fold1.pt").write_bytes(b"x" * 10_000)
    plan = plan_pruning(Conditions(older_than=0), runs, models_only=True)
    assert [item.path for item in plan.going] == [folder.path]
    assert 10_000 <= plan.bytes < 20_000
    assert "harness resume" in plan.kept[next(item for item in plan.kept if item.path == unfinished.path)]
    assert remove(plan, runs).removed == [folder.path]
    assert not folder.checkpoints.exists()  # a search uses it to find trials with weights
    assert RunFolder.open(folder.path).record.models_removed is not None
    assert RunFolder.open(folder.path).record.accuracy == folder.record.accuracy
    assert plan_pruning(Conditions(older_than=0), runs, models_only=True).going == ()


def test_plan_removal_refuses_protected_runs(runs: Path) -> None:
    running = add(runs, status=Status.RUNNING)
    outside = add(Path("elsewhere"))
    named = {running.id: "it is running", str(outside.path): "it is outside runs"}
    home = RunFolder.create(runs, run_record("tiny", status=Status.FINISHED), runs / "tiny/home")
    (home.path / "20260101").mkdir()
    shutil.copy(home.path / "run.json", home.path / "20260101/run.json")
    for name, why in (named | {str(home.path): "its folder contains other runs"}).items():
        with pytest.raises(UsageError, match=why):
            plan_removal([name], runs)


def test_refit_run_refuses_a_run_that_is_being_removed(runs: Path) -> None:
    folder = add(runs)
    with locked(folder.path / ".resuming"), pytest.raises(UsageError, match="is in use"):
        refit_run(folder)
    with locked(folder.path / ".resuming"):
        assert remove(plan_removal([folder.id], runs), runs).kept == {folder.path: "another process resumes it now"}


def test_remove_of_a_test_keeps_it_counted_in_the_list_of_tests(runs: Path) -> None:
    test = add(runs)
    predictions = images_judged(range(35))
    assert add_look(predictions, "a", test.id) is not None
    assert remove(plan_removal([test.id], runs), runs).removed == [test.path]
    looks = add_look(predictions, "b", "another")
    assert looks is not None
    assert looks.tests == 2
