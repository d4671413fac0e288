"""A removed run is removed from a real MLflow store, with its files. What other runs or users need stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import LoggedModelOutput, ViewType

from harness.runs import trust
from harness.runs.contents import strange_files
from harness.runs.pending_removals import add_removals, has_pending, model_removals_of, removals_of
from harness.runs.run_folder import RunFolder
from harness.trackers.catch_up import catch_up
from harness.trackers.mlflow.database import never
from harness.trackers.mlflow.experiments import MODEL_TAG, DeletedRunError
from harness.trackers.mlflow.place import local_folder
from harness.trackers.mlflow.registry import NAME
from harness.trackers.mlflow.removal import remove_earlier_models, remove_pending
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import connect, tracking_uri
from harness.util.disk import entries_below
from tests.conftest import Tracked
from tests.trackers.test_mlflow import copy_of
from tests.trackers.test_store import unused_address


def sent(folder: RunFolder) -> tuple[Any, str, Path, Path]:
    """Sends a run with a model of one file. Returns the client, the run's id, its files' folder and its model's."""
    mirror = MLflow(folder)
    mirror.finish(model=False)
    client = connect(tracking_uri())
    mlflow.set_tracking_uri(tracking_uri())
    run = client.get_run(mirror.run_id)
    model = client.create_logged_model(run.info.experiment_id, name="model", source_run_id=mirror.run_id)
    client.log_outputs(mirror.run_id, [LoggedModelOutput(model.model_id, 0)])
    client.set_tag(mirror.run_id, MODEL_TAG, "fold 1")
    files, of_model = local_folder(run.info.artifact_uri), local_folder(model.artifact_location)
    assert files is not None
    assert of_model is not None
    of_model.mkdir(parents=True)
    (of_model / "weights.pt").touch()
    return client, mirror.run_id, files, of_model


def stages(client: Any) -> set[str]:
    """The lifecycle stages (active, deleted) of all runs in the store."""
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    return {run.info.lifecycle_stage for run in client.search_runs(numbers, "", ViewType.ALL)}


def test_runs_and_studies_write_only_files_that_contents_lists(tracked: Tracked, studied: Tracked) -> None:
    """`harness runs remove` does not remove other files. Add each new file to `runs/contents.py`."""
    for path in (tracked.run.path, studied.run.path.parent):
        assert strange_files(list(entries_below(path))) == []


def test_remove_pending_removes_runs_files_and_model(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store)
    trust.remember_run(folder.id, folder.record.data.folder)
    client, run_id, files, of_model = sent(folder)
    (stranger,) = [client.create_run("0", tags={"harness.run": "another"}).info.run_id]
    add_removals(model_removals_of(folder))
    catch_up(store / "runs", never)  # as the next run does
    assert not of_model.exists()
    assert client.get_run(run_id).data.tags[MODEL_TAG] == "removed by harness runs"
    assert (files / "run.json").exists()
    add_removals(removals_of(folder))
    removed = remove_pending()
    assert (removed.runs, removed.notes, removed.left) == (3, [], 0)
    assert not files.parent.exists()
    assert not has_pending()
    assert client.get_run(stranger).info.lifecycle_stage == "active"
    client.delete_run(stranger)
    assert stages(client) == {"deleted"}
    with pytest.raises(DeletedRunError):  # a copy of its folder does not add it again
        MLflow(folder).finish()


def test_remove_pending_keeps_registered_models_and_runs_of_users(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store)
    trust.remember_run(folder.id, folder.record.data.folder)
    client, run_id, files, of_model = sent(folder)
    folder.update(store_ids={**folder.record.store_ids, "mlflow_run_id": run_id})
    add_removals(removals_of(folder))
    assert "you made that run, MLFLOW_RUN_ID named it" in remove_pending().notes[0]
    folder.update(store_ids={"mlflow": folder.record.store_ids["mlflow"]})
    client.create_registered_model(NAME)
    client.create_model_version(NAME, f"models:/{of_model.parent.name}", model_id=of_model.parent.name)
    add_removals([*removals_of(folder), *model_removals_of(folder)])
    removed = remove_pending()
    assert removed.notes == [
        f"run {folder.id} stays in MLflow: version 1 of '{NAME}' in its model registry is this run's model"
    ]
    assert (of_model / "weights.pt").exists()
    assert (files / "run.json").exists()
    assert stages(client) == {"active"}
    assert not has_pending()


def test_remove_pending_keeps_the_list_if_the_store_does_not_answer(
    tracked: Tracked, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(tracked, store)
    trust.remember_run(folder.id, folder.record.data.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_address())
    folder.update(stores={"mlflow": tracking_uri()}, store_ids={})
    add_removals(removals_of(folder))
    removed = remove_pending()
    assert (removed.runs, removed.left) == (0, 1)
    assert "nothing answers there" in removed.notes[0]
    assert has_pending()


def test_remove_pending_does_not_make_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: Tracked
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = copy_of(tracked, tmp_path)
    trust.remember_run(folder.id, folder.record.data.folder)
    add_removals(removals_of(folder))
    assert remove_pending().left == 0
    assert not has_pending()
    assert not Path("mlflow.db").exists()


def test_send_model_replaces_a_runs_earlier_model(tracked: Tracked, store: Path) -> None:
    client, run_id, _, of_first = sent(copy_of(tracked, store))
    experiment = client.get_run(run_id).info.experiment_id
    places = [of_first]
    for step in (1, 2):
        model = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        places.append(local_folder(model.artifact_location))
        places[-1].mkdir(parents=True)
        (places[-1] / "weights.pt").touch()
        if step == 1:  # the user has registered this one
            client.create_registered_model("theirs")
            client.create_model_version("theirs", f"models:/{model.model_id}", run_id, model_id=model.model_id)
    remove_earlier_models(tracking_uri(), run_id)
    assert [(place / "weights.pt").exists() for place in places] == [False, True, True]
    remove_earlier_models(tracking_uri(), run_id)
    assert [(place / "weights.pt").exists() for place in places] == [False, True, True]
