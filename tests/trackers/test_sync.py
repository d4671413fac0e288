from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.runs import trust
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.experiments import FILE_TAG, RUN_TAG
from harness.trackers.mlflow.place import local_folder
from harness.trackers.mlflow.quick_look import has_all
from harness.trackers.mlflow.store import connect, tracking_uri
from harness.trackers.sync import sync
from harness.trackers.tensorboard.run import event_files
from harness.util.processes import this_process
from tests.conftest import Outcome, Tracked
from tests.trackers.test_mlflow import copy_of, everything, runs
from tests.trackers.test_store import unused_address


def test_sync_sends_a_run_to_both_trackers_and_a_second_sync_changes_nothing(
    tracked: Tracked, store: Path, call: Callable[..., Outcome]
) -> None:
    folder = copy_of(tracked, store, trackers={"mlflow": "it hung"})
    for file in event_files(folder.path):
        file.unlink()
    outcome = call("sync", folder.id)
    assert outcome.code == 0
    assert "complete in tensorboard and mlflow" in outcome.out
    (address,) = set(re.findall(r"runs:/[0-9a-f]{32}/model", outcome.out))
    assert RunFolder.open(folder.path).record.trackers == {"mlflow": "complete", "tensorboard": "complete"}
    assert len(event_files(folder.path)) == 5
    client = connect(tracking_uri())
    parent, children = runs(client)
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    assert len(client.search_logged_models([parent.info.experiment_id])) == 1
    assert address == f"runs:/{parent.info.run_id}/model"
    before = everything(client)
    for force in ((), ("--force",)):
        again = call("sync", folder.path, "--to", "mlflow", *force)
        assert (again.code, address in again.out) == (0, True)
        assert everything(client) == before
    (model,) = client.search_logged_models([parent.info.experiment_id])
    shutil.rmtree(local_folder(model.artifact_location) or "")
    assert call("sync", folder.path, "--to", "mlflow").code == 0  # sends the model again, and nothing twice
    (other,) = client.search_logged_models([parent.info.experiment_id])
    assert Path(local_folder(other.artifact_location) or "", "MLmodel").is_file()
    client.delete_logged_model_tag(other.model_id, RUN_TAG)  # as in an earlier version, whose models take tensors
    assert call("sync", folder.path, "--to", "mlflow").code == 0
    assert [each.model_id for each in client.search_logged_models([parent.info.experiment_id])] == [other.model_id]
    assert call("sync", folder.path, "--to", "mlflow", "--force").code == 0
    assert [each.tags[RUN_TAG] for each in client.search_logged_models([parent.info.experiment_id])] == [folder.id]


def test_sync_draws_missing_plots(tracked: Tracked, project: Path) -> None:
    folder = copy_of(tracked, project)
    names = {path.name for path in folder.plots.glob("*.png") if not path.name.startswith("fold")}
    for name in names:
        (folder.plots / name).unlink()
    trust.remember_run(folder.id, folder.record.data.folder)
    sync(folder, ["tensorboard"])
    assert names <= {path.name for path in folder.plots.glob("*.png")}


def test_sync_waits_for_another_process_that_is_sending(
    tracked: Tracked, store: Path, call: Callable[..., Outcome]
) -> None:
    """The follower of the run may still be sending it. CI needs the run in MLflow when `sync` ends."""
    folder = copy_of(tracked, store, trackers={"tensorboard": "complete", "mlflow": "still being sent"})
    before = event_files(folder.path)
    with folder.sending() as alone:
        assert alone
        other = threading.Timer(0.5, lambda: None)
        thread = threading.Thread(target=lambda: outcomes.append(call("sync", folder.id)))
        outcomes: list[Outcome] = []
        thread.start()
        other.start()
        other.join()
        assert not outcomes
    thread.join(60)
    assert outcomes[0].code == 0
    assert "waiting for that process to end" in outcomes[0].err
    assert RunFolder.open(folder.path).record.trackers["mlflow"] == "complete"
    assert event_files(folder.path) == before  # TensorBoard had the whole run


def test_sync_refuses_a_run_that_is_still_running(
    tracked: Tracked, project: Path, call: Callable[..., Outcome]
) -> None:

    folder = copy_of(tracked, project, rows=1, status=Status.RUNNING, **this_process())
    with pytest.raises(UsageError, match="is still running"):
        sync(folder, ["tensorboard"])
    assert call("sync", folder.path, "--to", "tensorboard", "--force").code == 0


def test_sync_reports_an_error_and_can_be_repeated(
    tracked: Tracked, project: Path, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_address())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = copy_of(tracked, project, trackers={"mlflow": "it hung"})
    outcome = call("sync", folder.path, "--to", "mlflow")
    assert outcome.code == 5
    assert "nothing answers there" in outcome.error_lines[1]
    assert json.loads((folder.path / "run.json").read_text())["trackers"] == {"mlflow": "it hung"}


def test_has_all_is_true_only_if_the_store_is_complete(tracked: Tracked, store: Path) -> None:
    folder = copy_of(tracked, store)
    uri = tracking_uri()
    assert not has_all(uri, folder)  # the store does not exist yet
    sync(folder, ["mlflow"])
    assert has_all(uri, folder)
    client = connect(uri)
    parent, (fold, *_) = runs(client)
    client.update_run(fold.info.run_id, status="RUNNING")
    assert not has_all(uri, folder)
    client.set_terminated(fold.info.run_id)
    client.set_tag(parent.info.run_id, FILE_TAG, "0" * 32)  # as if the model was sent before a refit
    assert not has_all(uri, folder)
    sync(folder, ["mlflow"])
    assert has_all(uri, folder)
    client.delete_run(parent.info.run_id)
    assert not has_all(uri, folder)
    client.restore_run(parent.info.run_id)
    assert has_all(uri, folder)
    folder.update(trackers={"mlflow": "sending was cut off"})
    assert not has_all(uri, folder)
