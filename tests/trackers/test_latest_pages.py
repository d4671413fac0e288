from __future__ import annotations

from pathlib import Path

import pytest

from harness.trackers import servers
from harness.trackers.latest_pages import ALL_EXPERIMENTS, mlflow_page, tensorboard_page
from tests.conftest import Tracked
from tests.predicted import lay_run, predicted


def test_mlflow_page_is_the_runs_of_the_latest_experiment(tracked: Tracked) -> None:
    (experiment,) = [e for e in tracked.client().search_experiments() if e.name == "tiny"]
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"  # else its first page shows traces
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    assert mlflow_page(tracked.uri) == (page, "tiny")


@pytest.mark.parametrize("uri", ["sqlite:///missing.db", "http://box:5000", "postgresql://box/x"])
def test_mlflow_page_is_that_of_all_experiments_if_none_is_known(uri: str) -> None:
    assert mlflow_page(uri) == (ALL_EXPERIMENTS, "")


def test_mlflow_page_of_a_damaged_store_is_that_of_all_experiments(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database")
    assert mlflow_page(f"sqlite:///{tmp_path / 'a.db'}") == (ALL_EXPERIMENTS, "")


def test_tensorboard_page_filters_by_the_latest_run(tmp_path: Path, tracked: Tracked) -> None:
    page = f"/?runFilter={tracked.run.path.name}#timeseries"
    assert tensorboard_page(tracked.project / "runs") == (page, tracked.run.path.name)
    assert tensorboard_page(tmp_path) == ("/", "")
    lay_run(tmp_path, predicted("+-"))  # without TensorBoard
    assert tensorboard_page(tmp_path) == ("/", "")


def test_tensorboard_page_filters_by_the_latest_study(studied: Tracked) -> None:
    page, name = tensorboard_page(studied.project / "runs")
    assert name.startswith("study-")
    assert page == f"/?runFilter={name}#timeseries"


def test_mlflow_of_a_host_answers_to_its_own_names(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tracked.project)
    server = servers.mlflow(tracked.uri, 15999, "box.example")
    hosts = server.environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"localhost", "127.0.0.1:*", "box.example", "box.example:*"} <= {*hosts}
    assert "*" not in hosts
    assert "http://box.example:*" in server.environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert server.address == "http://box.example:15999"
    local = servers.mlflow(tracked.uri, 15999)
    assert local.environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == ""
    assert local.environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "localhost,127.0.0.1,localhost:*,127.0.0.1:*"
