"""A champion's registered version is used only in the project that has its files."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

from harness.trackers.mlflow.place import local_folder
from harness.trackers.mlflow.registry import NAME, SHA, _version_of, aliases
from harness.trackers.mlflow.store import connect, tracking_uri


def test_version_of_ignores_versions_whose_files_are_elsewhere_or_missing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(tracking_uri())
    mlflow.set_tracking_uri(tracking_uri())  # the registry looks here for a model that is given by its id
    client.create_registered_model(NAME)
    model = client.create_logged_model(client.create_experiment("tiny"), name="model").model_id
    client.create_model_version(NAME, f"models:/{model}", model_id=model, tags={SHA: "a"})
    assert _version_of(client, tracking_uri(), "a") is None  # its files do not exist
    (local_folder(client.get_logged_model(model).artifact_location) or store).mkdir(parents=True)
    assert _version_of(client, tracking_uri(), "a") == "1"
    assert _version_of(client, tracking_uri(), "b") is None
    there = store.parent / f"{store.name}-there"
    shutil.copytree(store, there)
    monkeypatch.chdir(there)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{there / 'mlflow.db'}")
    mlflow.set_tracking_uri(tracking_uri())
    assert _version_of(connect(tracking_uri()), tracking_uri(), "a") is None


def test_aliases_are_the_champion_and_the_id_of_its_run() -> None:
    def named(run: str) -> list[str]:
        return aliases(SimpleNamespace(run=SimpleNamespace(id=run)))  # type: ignore[arg-type]

    assert named("20261127-170134-ea2f") == ["champion", "20261127-170134-ea2f"]
    assert named("v12345") == ["champion"]  # MLflow refuses an alias that looks like a version
