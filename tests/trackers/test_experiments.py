"""Finds the experiment and the run of a run folder in a real store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import ViewType

from harness.errors import RemoteError
from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.experiments import DELETED, Chosen, DeletedRunError, find_place
from harness.trackers.mlflow.place import is_elsewhere, left_out_files, local_folder, require_own_place
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import DEFAULT, connect, recorded, tracking_uri
from harness.trackers.mlflow.study import MLflowStudy
from harness.trackers.mlflow.unsent import send_unsent
from tests.conftest import Tracked
from tests.toy import run_record
from tests.trackers.test_mlflow import copy_of, runs

VARIABLES = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tracked: Tracked, store: Path) -> RunFolder:
    """A failed run of one epoch, in a project with an empty store."""
    return copy_of(tracked, store, rows=1, status=Status.FAILED, error="x")


def sent(folder: RunFolder, **options: str) -> MLflow:
    mirror = MLflow(folder, **options)
    mirror.finish(model=False)
    return mirror


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def go_to(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    return connect(tracking_uri())


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied"])
def test_find_place_writes_nothing_to_the_old_folder_of_a_moved_project(
    folder: RunFolder, store: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    assert sent(folder).warnings == []
    there = store.parent / f"{store.name}-there"
    (shutil.copytree if copied else shutil.move)(store, there)
    before = files_below(store)
    client = go_to(there, monkeypatch)
    mirror = sent(RunFolder.open(there / "runs/tiny" / folder.id))
    (warning,) = mirror.warnings
    assert f"{store / 'mlruns/1'}, which is not in this folder: the project was moved or copied" in warning
    assert f"runs are now logged to 'tiny in {there}'" in warning
    assert files_below(store) == before
    assert (there / "mlruns/2" / mirror.run_id / "artifacts/run.json").is_file()
    assert runs(client)[0].info.run_id != mirror.run_id  # the earlier run still exists
    assert runs(client, f"tiny in {there}")[0].info.run_id == mirror.run_id
    again = sent(RunFolder.open(there / "runs/tiny" / folder.id))
    assert again.run_id == mirror.run_id


@pytest.mark.parametrize("name", ["a b", "100%", "a%20b", "a%2Fb", "a#b", "a?b", "é森"])
def test_own_location_keeps_files_in_a_folder_of_any_name(
    tracked: Tracked, new_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project = tmp_path / name
    project.mkdir()
    database = tmp_path / "mlflow.db"  # an address cannot name a file below "a?b"
    shutil.copy(new_database, database)
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    client = connect(tracking_uri())
    place = find_place(client, tracking_uri(), "tiny")
    run = client.create_run(place.experiment).info.run_id
    client.log_artifact(run, str(tracked.run.path / "run.json"))
    (file,) = files_below(tmp_path) - {database}
    assert file.relative_to(project).parts[0] == "mlruns"
    assert [entry.path for entry in client.list_artifacts(run)] == ["run.json"]
    assert find_place(client, tracking_uri(), "tiny") == place


def test_is_elsewhere_with_a_store_chosen_by_the_user(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    own, shared, server = tracking_uri(), f"sqlite:///{other}/mlflow.db", "http://127.0.0.1:5000"
    for uri in (own, shared, server, "postgresql://db/mlflow"):
        assert not is_elsewhere(uri, str(store / "mlruns/1"))
        assert not is_elsewhere(uri, "s3://bucket/mlruns/1")
        assert not is_elsewhere(uri, "mlflow-artifacts:/1")
        assert not is_elsewhere(uri, str(other / "files/1"))  # an experiment that the user made may have it
        assert is_elsewhere(uri, "/gone/mlruns/1")
    assert is_elsewhere(own, str(other / "mlruns/1"))
    assert not is_elsewhere(shared, str(other / "mlruns/1"))
    assert local_folder("/a%20b/1") == Path("/a b/1")  # MLflow would write there
    with pytest.raises(RemoteError, match="is not this project's mlruns/"):
        require_own_place("postgresql://db/mlflow", "/gone/mlruns/1")
    require_own_place(server, "/gone/mlruns/1")
    assert "files and model are not sent" in left_out_files(server, "/gone/mlruns/1")
    assert not left_out_files(server, "mlflow-artifacts:/1")


def test_is_elsewhere_with_the_default_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not is_elsewhere(DEFAULT, str(store / "mlruns/1"))
    assert is_elsewhere(DEFAULT, str(store / "other/1"))
    assert is_elsewhere(DEFAULT, "s3://bucket/1")


def test_find_place_leaves_a_deleted_experiment_deleted(folder: RunFolder) -> None:
    first = sent(folder)
    client = connect(tracking_uri())
    client.delete_experiment(first._experiment)
    with pytest.raises(DeletedRunError):  # it was deleted with its experiment
        sent(folder)
    client.create_experiment("other")
    place = find_place(client, tracking_uri(), "tiny")
    assert client.get_experiment(place.experiment).name == "tiny 2"
    assert "to restore it: mlflow experiments restore --experiment-id 1" in place.warning
    assert client.get_experiment("1").lifecycle_stage == "deleted"
    client.delete_experiment(place.experiment)
    assert client.get_experiment(find_place(client, tracking_uri(), "tiny").experiment).name == "tiny 3"


def test_find_run_leaves_a_deleted_run_deleted(folder: RunFolder) -> None:
    client, mirror = connect(tracking_uri()), sent(folder)
    client.delete_run(mirror.run_id)
    with pytest.raises(DeletedRunError) as caught:
        sent(folder)
    assert f"mlflow runs restore --run-id {mirror.run_id}" in caught.value.fix
    folder.update(trackers={"mlflow": "it hung"})
    assert send_unsent(folder.path.parents[1]) == []
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": DELETED}
    assert [run.data.tags["harness.role"] for run in client.search_runs(["1"])] == ["fold"]
    client.restore_run(mirror.run_id)
    assert sent(folder).run_id == mirror.run_id


def test_finish_leaves_a_deleted_fold_deleted(folder: RunFolder) -> None:
    client, mirror = connect(tracking_uri()), sent(folder)
    _, (child,) = runs(client)
    client.delete_run(child.info.run_id)
    assert sent(folder).run_id == mirror.run_id
    assert runs(client)[1] == []
    assert len(client.search_runs(["1"], "", ViewType.ALL)) == 2


@pytest.mark.parametrize("by", ["name", "new name", "id"])
def test_chosen_is_the_experiment_of_the_environment(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    client = connect(tracking_uri())
    number = client.create_experiment("theirs")
    if by == "id":
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    else:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs" if by == "name" else "new")
    folder.update(**recorded(tracking_uri()))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    sent(RunFolder.open(folder.path))  # as a later process does, without the variables
    assert runs(client, "new" if by == "new name" else "theirs")[0].info.status == "FAILED"
    assert client.get_experiment_by_name("tiny") is None


@pytest.mark.parametrize(
    ("name", "number", "why"),
    [("", "99", "it does not exist"), ("", "x", "it does not exist"), ("theirs", "0", "its id is")],
)
def test_find_place_refuses_an_unknown_id_or_a_name_with_another_id(
    store: Path, name: str, number: str, why: str
) -> None:
    client = connect(tracking_uri())
    client.create_experiment("theirs")
    with pytest.raises(RemoteError) as caught:
        find_place(client, tracking_uri(), "tiny", Chosen(name, number))
    assert why in caught.value.why
    assert "MLFLOW_EXPERIMENT_ID" in caught.value.why


def test_chosen_of_a_record_without_a_store_is_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert Chosen.of(run_record()) == Chosen("mine")
    assert Chosen.of(run_record(stores={"mlflow": "sqlite:///mlflow.db"})) == Chosen()


def test_finish_uses_a_given_run_as_the_parent_of_its_folds(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(tracking_uri())
    theirs = client.create_experiment("theirs")
    given = client.create_run(theirs, tags={"owner": "scheduler", "mlflow.note.content": "mine"}).info.run_id
    client.log_param(given, "lr", "theirs")
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    folder.update(**recorded(tracking_uri()))
    mirror = sent(folder, given=given)
    assert mirror.run_id == given
    parent, (child,) = runs(client, "theirs")
    assert (parent.info.status, child.info.status) == ("FAILED", "FAILED")
    assert parent.data.params["lr"] == "theirs"  # MLflow does not change a parameter
    assert parent.data.params["model"] == "small_cnn"
    assert (parent.data.tags["owner"], parent.data.tags["mlflow.note.content"]) == ("scheduler", "mine")
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert sent(RunFolder.open(folder.path)).run_id == given  # as a later `harness sync` does
    assert client.get_run(given).data.tags["mlflow.note.content"] == "mine"


def test_finish_makes_a_child_of_a_given_run_that_another_run_uses(
    tracked: Tracked, folder: RunFolder, store: Path
) -> None:
    client = connect(tracking_uri())
    given = client.create_run(client.create_experiment("theirs")).info.run_id
    sent(folder, given=given)
    other = RunFolder.create(store / "runs", run_record("tiny", experiment=folder.record.experiment), store / "other")
    other.update(splits=folder.record.splits, data=folder.record.data, status=Status.FAILED)
    second = sent(other, given=given)
    assert second.run_id != given
    assert client.get_run(second.run_id).data.tags["mlflow.parentRunId"] == given
    assert client.get_run(given).data.tags["harness.run"] == folder.id


@pytest.mark.parametrize("deleted", [False, True])
def test_given_run_refuses_a_missing_or_deleted_run(folder: RunFolder, deleted: bool) -> None:
    client, given = connect(tracking_uri()), "0" * 32
    if deleted:
        given = client.create_run("0").info.run_id
        client.delete_run(given)
    with pytest.raises(RemoteError) as caught:
        sent(folder, given=given)
    assert ("was deleted" if deleted else "does not exist") in caught.value.why
    assert "unset MLFLOW_RUN_ID" in caught.value.fix
    folder.update(store_ids={**folder.record.store_ids, "mlflow_run_id": given, "mlflow_experiment_id": "99"})
    assert sent(folder).run_id not in ("", given)  # as `harness sync` does after the variables are unset
    assert folder.record.trackers.get("mlflow") != COMPLETE


def test_finish_sends_no_files_to_a_server_that_names_a_folder_of_its_machine(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.trackers.mlflow.place.is_server", lambda uri: True)  # as if a server kept the store
    monkeypatch.setattr("harness.trackers.mlflow.experiments.is_server", lambda uri: True)
    client = connect(tracking_uri())
    client.create_experiment("tiny", artifact_location="/gone/mlruns/1")
    (warning,) = sent(folder).warnings
    assert "keeps files in /gone/mlruns/1" in warning or "/gone/mlruns" in warning
    parent, (child,) = runs(client)
    assert (parent.info.status, child.info.status) == ("FAILED", "FAILED")
    assert "train_loss" in child.data.metrics
    assert not Path("/gone").exists()


def test_refused_explains_that_the_run_was_deleted(folder: RunFolder) -> None:
    client, mirror = connect(tracking_uri()), MLflow(folder)
    mirror.send()
    client.delete_run(mirror.run_id)
    with pytest.raises(RemoteError) as caught:
        mirror.finish()
    assert caught.value.why == "the run was deleted there"


@pytest.mark.slow
def test_study_uses_a_given_run_and_leaves_deleted_trials_deleted(
    studied: Tracked, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shutil.copytree(studied.run.path.parent, store / "runs/tiny/study-tiny")
    folder = StudyFolder.open(there)
    for trial in folder.trials():
        trial.update(trackers={})
    monkeypatch.setattr("harness.trackers.mlflow.send_model.send_model", lambda *_: None)
    client = connect(tracking_uri())
    given = client.create_run(client.create_experiment("theirs"), tags={"owner": "scheduler"}).info.run_id
    MLflowStudy(folder, given).finish()
    study = client.get_run(given)
    assert (study.data.tags["harness.study"], study.data.tags["owner"]) == (folder.record.id, "scheduler")
    below = f"tags.`mlflow.parentRunId` = '{given}'"
    trials = client.search_runs([study.info.experiment_id], below)
    assert len(trials) == len(folder.trials())
    client.delete_run(trials[0].info.run_id)
    for trial in folder.trials():
        trial.update(trackers={})
    MLflowStudy(folder, given).finish()
    assert len(client.search_runs([study.info.experiment_id], below)) == len(trials) - 1
    states = [trial.record.trackers["mlflow"] for trial in folder.trials()]
    assert sorted(states) == [*[COMPLETE] * (len(trials) - 1), DELETED]
    client.delete_run(given)
    with pytest.raises(RemoteError, match="was deleted"):
        MLflowStudy(folder, given).finish()


class Late:
    """A client that searches for an experiment just before another process makes it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._asked = 0

    def get_experiment_by_name(self, name: str) -> Any:
        self._asked += 1
        return None if self._asked == 1 else self._client.get_experiment_by_name(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_find_place_returns_an_experiment_that_another_process_makes_at_the_same_time(store: Path) -> None:
    client = connect(tracking_uri())
    first = find_place(client, tracking_uri(), "tiny")
    assert find_place(Late(client), tracking_uri(), "tiny") == first
