"""Reads a real store, after a run that was followed and after runs in each other state."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import RemoteError
from harness.models.saved import load_model
from harness.runs.record_parts import ClassRecord, DvcRecord, GitRecord, ProgressRecord, Status, TestedFile
from harness.runs.records import TestRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow import conversion
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import connect, recorded, tracking_uri
from harness.trackers.mlflow.unsent import send_unsent
from harness.util.processes import this_process
from tests.conftest import Tracked
from tests.toy import run_record
from tests.trackers.test_store import SECRET_ADDRESSES, TOKEN, unused_address


def runs(client: Any, name: str = "tiny") -> tuple[Any, list[Any]]:
    """(parent, folds in order) of the only run in an experiment."""
    experiment = client.get_experiment_by_name(name)
    all_runs = list(client.search_runs([experiment.experiment_id]))
    children = [run for run in all_runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = (run for run in all_runs if run not in children)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    return parent, sorted(children, key=lambda run: int(run.data.tags["harness.fold"]))


def everything(client: Any) -> list[Any]:
    """All that the store has of all runs, without the times at which it was stored."""
    content = []
    for run in client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]):
        histories = {
            name: [
                (point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, name)
            ]
            for name in sorted(run.data.metrics)
        }
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        inputs = [data.dataset.digest for data in run.inputs.dataset_inputs]
        info = (run.info.run_id, run.info.run_name, run.info.status, run.info.start_time, run.info.end_time)
        content.append((info, run.data.params, run.data.tags, histories, files, inputs))
    return content


def copy_of(tracked: Tracked, project: Path, rows: int | None = None, **changes: Any) -> RunFolder:
    """A copy of the tracked run in another project; with `rows`, as it was after that epoch of fold 1."""
    path = project / "runs/tiny" / tracked.run.id
    shutil.copytree(tracked.run.path, path)
    folder = RunFolder.open(path)
    changes = {**recorded(tracking_uri()), **changes}
    if rows is not None:
        lines = folder.metrics.read_text().splitlines(keepends=True)[:rows]
        folder.metrics.write_text("".join(lines))
        (path / "predictions.csv").unlink()
        shutil.rmtree(path / "predictions")
        none = ("accuracy", "interval", "n", "mean", "deviation", "run_seconds", "loss", "baseline", "fit_seconds")
        saved = {"folds": [], "trackers": {}, "progress": ProgressRecord(fold=1, epoch=rows)}
        changes = {**saved, **dict.fromkeys(none), **changes}
    folder.update(**changes)
    return folder


def test_a_run_has_one_parent_and_one_child_per_fold_all_finished(tracked: Tracked) -> None:
    parent, children = runs(tracked.client())
    assert parent.info.run_name == tracked.run.id
    assert [run.info.run_name for run in children] == ["fold 1", "fold 2"]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    times = [(run.info.start_time, run.info.end_time) for run in (*children, parent)]
    assert all(start < end for start, end in times)
    assert times[0][1] <= times[1][1] <= times[2][1]
    assert parent.info.end_time - parent.info.start_time == int(1000 * tracked.run.record.run_seconds)


def test_a_run_has_all_parameters_tags_and_metrics(tracked: Tracked) -> None:
    client = tracked.client()
    parent, children = runs(client)
    record = tracked.run.record
    for name in record.experiment:
        assert name in parent.data.params, name
    assert parent.data.params["lr"] == str(record.experiment["lr"])
    assert parent.data.params["classes"] == "forest, sea"
    assert parent.data.metrics["accuracy"] == record.accuracy
    assert parent.data.metrics["interval_low"] == (record.interval or [0])[0]
    rows = tracked.run.epochs()
    for fold, child in enumerate(children, 1):
        assert child.data.params["fold"] == str(fold)
        assert int(child.data.params["train_images"]) + int(child.data.params["valid_images"]) == 33
        assert child.data.metrics["accuracy"] == record.folds[fold - 1].accuracy
        for name in ("train_loss", "valid_accuracy", "lr"):
            points = client.get_metric_history(child.info.run_id, name)
            assert [(point.step, point.value) for point in points] == [
                (row["epoch"], row[name]) for row in rows if row["fold"] == fold
            ]
        assert child.data.metrics["train_images_per_second"] > 1


def test_a_run_has_its_data_set_as_input_with_its_digest(tracked: Tracked) -> None:
    parent, children = runs(tracked.client())
    for run in (parent, *children):
        (given,) = run.inputs.dataset_inputs
        assert given.dataset.digest == tracked.run.record.data.digest
        assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training"}


def test_a_run_has_its_files_as_artifacts(tracked: Tracked) -> None:
    client = tracked.client()
    parent, _ = runs(client)
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {
        *("run.json", "metrics.json", "metrics.jsonl", "predictions.csv", "experiment.py", "plots", "report.html")
    }
    plots = {Path(file.path).name for file in client.list_artifacts(parent.info.run_id, "plots")}
    assert plots == {path.name for path in tracked.run.plots.iterdir()}
    content = json.loads(Path(client.download_artifacts(parent.info.run_id, "run.json")).read_text())
    assert (content["status"], content["accuracy"]) == ("finished", tracked.run.record.accuracy)


@pytest.mark.filterwarnings("ignore")
def test_a_run_has_one_model_of_the_best_fold_with_the_same_logits(
    tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.uri)
    mlflow.set_tracking_uri(tracked.uri)
    client = tracked.client()
    parent, _ = runs(client)
    (logged,) = client.search_logged_models([parent.info.experiment_id])
    assert logged.source_run_id == parent.info.run_id
    best = tracked.run.best_fold() or {}
    ours = load_model(tracked.run.checkpoint_of(best))
    address = f"runs:/{parent.info.run_id}/model"
    theirs = mlflow.pytorch.load_model(address)
    inputs = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))  # not as many as in the example
    with torch.inference_mode():
        assert torch.allclose(theirs(inputs), ours.model(inputs), atol=1e-5)
    about = mlflow.models.Model.load(address)
    assert about.metadata["classes"] == ["forest", "sea"]
    assert len(theirs(inputs[:1])) == 1


def test_finish_a_second_time_changes_nothing(tracked: Tracked, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shared").mkdir()
    shutil.copy(tracked.project / "mlflow.db", project / "shared/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'shared/mlflow.db'}")
    folder = copy_of(tracked, project)
    client = connect(tracking_uri())
    before = everything(client)
    models = len(client.search_logged_models(["1"]))
    MLflow(folder).finish()
    assert everything(client) == before
    assert len(client.search_logged_models(["1"])) == models


@pytest.mark.parametrize(
    ("ended", "there"), [("failed", "FAILED"), ("interrupted", "KILLED"), ("running", "FAILED")], ids=str
)
def test_finish_leaves_no_unfinished_run_running(tracked: Tracked, store: Path, ended: str, there: str) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None)
    mirror = MLflow(folder)
    mirror.send()
    parent, (child,) = runs(connect(tracking_uri()))
    assert (parent.info.status, child.info.status) == ("RUNNING", "RUNNING")
    folder.update(status=ended, error="TrainingError: the loss is nan")
    mirror.finish()
    parent, (child,) = runs(connect(tracking_uri()))
    assert (parent.info.status, child.info.status) == (there, there)
    assert "the loss is nan" in parent.data.tags["mlflow.note.content"]
    assert "harness.model" not in parent.data.tags


def steps(client: Any, run_id: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, "valid_loss")]


@pytest.mark.parametrize(("ended", "sent"), [("interrupted", [1]), ("running", [1]), ("failed", [1, 2])], ids=str)
def test_send_leaves_out_epochs_that_would_be_trained_again(
    tracked: Tracked, store: Path, ended: str, sent: list[int]
) -> None:
    changes = {"progress": ProgressRecord(fold=1, epoch=1), "error": None}
    folder = copy_of(tracked, store, rows=2, status=Status.RUNNING, **changes)
    mirror = MLflow(folder)
    mirror.send()
    client = connect(tracking_uri())
    assert steps(client, runs(client)[1][0].info.run_id) == [1]
    folder.update(status=ended)
    mirror.finish()
    assert steps(client, runs(client)[1][0].info.run_id) == sent


def test_a_resumed_run_stays_one_run_that_is_running_and_then_finished(tracked: Tracked, store: Path) -> None:
    saved = {"progress": ProgressRecord(fold=1, epoch=1)}
    folder = copy_of(tracked, store, rows=2, status=Status.INTERRUPTED, error="KeyboardInterrupt", **saved)
    MLflow(folder).finish()
    client = connect(tracking_uri())
    before = runs(client)
    assert {run.info.status for run in (before[0], *before[1])} == {"KILLED"}
    again = json.loads(folder.metrics.read_text().splitlines()[1])
    again["time"] += 60
    folder.metrics.write_text(f"{folder.metrics.read_text().splitlines()[0]}\n{json.dumps(again)}\n")
    folder.update(
        status=Status.RUNNING, error=None, progress=ProgressRecord(fold=1, epoch=2), threads=63, **this_process()
    )
    MLflow(folder).send()
    parent, (child,) = runs(client)
    assert (parent.info.run_id, child.info.run_id) == (before[0].info.run_id, before[1][0].info.run_id)
    assert {run.info.status for run in (parent, child)} == {"RUNNING"}
    assert parent.data.tags["harness.status"] == "running"
    assert steps(client, child.info.run_id) == [1, 2]
    shutil.rmtree(folder.path)
    folder = copy_of(tracked, store, trackers={})
    MLflow(folder).finish()
    parent, children = runs(client)
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    assert parent.info.run_id == before[0].info.run_id


def test_a_resumed_run_has_the_model_of_its_best_fold(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, trackers={})
    best = folder.best_fold()
    assert best is not None
    (other,) = (entry for entry in folder.record.folds if entry.fold != best.fold)
    folder.update(folds=[other], status=Status.INTERRUPTED)
    MLflow(folder).finish()
    client = connect(tracking_uri())
    assert runs(client)[0].data.tags["harness.model"] == f"fold {other.fold}"
    folder.update(folds=list(tracked.run.record.folds), status=Status.FINISHED)
    MLflow(folder).finish()
    assert runs(client)[0].data.tags["harness.model"] == f"fold {best.fold}"


def test_finish_completes_a_run_that_was_sent_partly(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None)
    MLflow(folder).send()
    shutil.rmtree(folder.path)
    folder = copy_of(tracked, store, trackers={})
    MLflow(folder).finish()
    parent, children = runs(connect(tracking_uri()))
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    history = connect(tracking_uri()).get_metric_history(children[0].info.run_id, "valid_loss")
    assert [point.step for point in history] == [1, 2]


def test_send_unsent_ends_a_run_that_died_with_its_follower(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, rows=1, status=Status.RUNNING, error=None)
    MLflow(folder).send()
    send_unsent(store / "runs")  # the run's process has ended
    parent, (child,) = runs(connect(tracking_uri()))
    assert (parent.info.status, child.info.status) == ("FAILED", "FAILED")
    assert parent.data.tags["harness.status"] == "died"
    again = everything(connect(tracking_uri()))
    send_unsent(store / "runs")
    assert everything(connect(tracking_uri())) == again


def test_send_unsent_sends_other_runs_if_one_cannot_be_sent(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, trackers={})
    broken = store / "runs/tiny/20990101-000000-0000"
    shutil.copytree(folder.path, broken)
    RunFolder.open(broken).update(id=broken.name)
    (broken / "metrics.jsonl").write_text('{"fold": 9}\n')
    (problem,) = send_unsent(store / "runs")
    assert str(broken) in problem
    parent, children = runs(connect(tracking_uri()))
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": "complete"}


@pytest.mark.parametrize(("uri", "short"), SECRET_ADDRESSES.items())
def test_send_unsent_prints_and_records_no_token_of_an_address(
    tracked: Tracked, store: Path, monkeypatch: pytest.MonkeyPatch, uri: str, short: str
) -> None:
    server = unused_address()
    uri, short = uri.format(server=server), short.format(server=server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    folder = copy_of(tracked, store, trackers={})
    (problem,) = send_unsent(store / "runs")
    assert problem.startswith(f"MLflow at {short} cannot be used: ")
    assert MLflow(folder).name == f"MLflow at {short}"
    assert folder.record.stores == {"mlflow": short}
    assert TOKEN not in problem + (folder.path / "run.json").read_text()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace(f"/{TOKEN}", "/another").replace(f"//{TOKEN}", "//another"))
    assert send_unsent(store / "runs") == ([problem] if f"={TOKEN}" in uri else [])


def test_send_unsent_skips_a_run_that_another_process_is_sending(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, trackers={})
    with RunFolder.open(folder.path).sending() as alone:
        assert alone
        assert send_unsent(store / "runs") == []
    assert connect(tracking_uri()).get_experiment_by_name("tiny") is None


def test_finish_leaves_no_run_running_if_files_cannot_be_stored(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, trackers={})
    (store / "mlruns").write_text("")
    with pytest.raises(RemoteError):
        MLflow(folder).finish()
    parent, children = runs(connect(tracking_uri()))
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3


def test_finish_sends_the_rest_if_the_checkpoint_is_missing(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store, trackers={})
    shutil.rmtree(folder.checkpoints)
    MLflow(folder).finish()
    parent, _ = runs(connect(tracking_uri()))
    assert parent.info.status == "FINISHED"
    assert "does not exist" in parent.data.tags["harness.model"]


def test_finish_sends_the_checkpoint_of_a_model_that_cannot_be_exported(
    tracked: Tracked, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_export(*_: object, **__: object) -> None:
        raise RuntimeError("data-dependent control flow\nand more")

    monkeypatch.setattr(torch.export, "export", no_export)
    folder = copy_of(tracked, store)
    (store / "runs/tiny" / folder.id / "checkpoints").mkdir(exist_ok=True)
    MLflow(folder).finish()
    client = connect(tracking_uri())
    parent, _ = runs(client)
    assert parent.data.tags["harness.model"] == "not exported: RuntimeError: data-dependent control flow"
    best = folder.best_fold() or {}
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "checkpoints")] == [
        f"checkpoints/{folder.checkpoint_of(best).name}"
    ]
    assert client.search_logged_models([parent.info.experiment_id]) == []


class TestConversion:
    RECORD = run_record(
        command=["harness", "run", "x", "-s", "weights=a/b.pth"], experiment={"lr": 0.1, "trackers": ["mlflow"]}
    )

    def record_of_a_test(self, **recalls: float) -> TestRecord:
        fields = {item.name: getattr(self.RECORD, item.name) for item in dataclasses.fields(self.RECORD)}
        fields["per_class"] = {name: ClassRecord(None, recall, None, 1) for name, recall in recalls.items()}
        return TestRecord(**fields, checkpoint=TestedFile("model.pt", "0" * 64))

    def test_tags_name_the_command_the_data_and_the_machine(self) -> None:
        data = dataclasses.replace(self.RECORD.data, dvc=DvcRecord("data.dvc", "12.dir", True))
        tags = conversion.tags(dataclasses.replace(self.RECORD, git=GitRecord("abc", True), data=data, pid=5))
        assert tags["mlflow.source.git.commit"] == "abc"
        assert (tags["git.dirty"], tags["dvc.md5"], tags["dvc.file"]) == ("True", "12.dir", "data.dvc")
        assert tags["mlflow.source.name"] == "harness run x"  # no options: MLflow shows only the last part of a path
        assert "git.dirty" not in conversion.tags(self.RECORD)  # without a repository it is neither dirty nor clean

    def test_numbers_replace_characters_that_mlflow_refuses(self) -> None:
        numbers = conversion.numbers(self.record_of_a_test(**{"ça+va": 0.5}))
        assert numbers == {"recall/ça_va": 0.5, "support/ça_va": 1.0}

    def test_numbers_keep_both_of_two_classes_with_the_same_allowed_characters(self) -> None:
        numbers = conversion.numbers(self.record_of_a_test(**{"a$": 0.5, "a+": 0.7}))
        assert sorted(value for name, value in numbers.items() if name.startswith("recall")) == [0.5, 0.7]

    def test_tags_of_a_user_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            raise KeyError("getpwuid(): uid not found: 12345")

        monkeypatch.setattr("getpass.getuser", nobody)
        assert "mlflow.user" not in conversion.tags(self.RECORD)

    def test_parameters_shorten_a_value_that_is_too_long_for_mlflow(self) -> None:
        record = dataclasses.replace(self.RECORD, experiment={"data": "x" * 9000})
        assert len(conversion.parameters(record)["data"]) == 6000
