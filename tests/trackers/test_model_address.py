"""The address of a run's model is read from a real store, and MLflow finds the model there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.model_address import model_address
from tests.conftest import Tracked


@pytest.fixture
def folder(tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tracked.run.path, tmp_path / "runs/tiny" / tracked.run.id)
    return RunFolder.open(Path("runs/tiny", tracked.run.id))


def test_model_address_is_that_of_the_model_in_mlflow(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracked.client()
    (run,) = client.search_runs(["1"], f"attributes.run_name = '{tracked.run.id}'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tracked.project)
    assert model_address(tracked.run) == f"runs:/{run.info.run_id}/model"
    (model,) = client.search_logged_models(["1"], filter_string=f"tags.`harness.run` = '{tracked.run.id}'")
    assert model.source_run_id == run.info.run_id  # MLflow's pages and commands find it by this id


def test_model_address_is_empty_without_a_model(folder: RunFolder, tracked: Tracked) -> None:
    assert model_address(folder) == ""  # without a store
    assert not Path("mlflow.db").exists()
    Path("mlflow.db").write_bytes(b"no database")
    assert model_address(folder) == ""
    shutil.copy(tracked.project / "mlflow.db", "mlflow.db")
    assert model_address(folder).startswith("runs:/")
    folder.update(folds=[])
    assert model_address(folder) == ""
    folder.update(folds=list(tracked.run.record.folds), store_ids={"mlflow": "another"})
    assert model_address(folder) == ""
