"""The champion in MLflow's registry: one version a model, and an alias that says which one counts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.errors import RemoteError
from harness.runs.champion_record import ChampionRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.experiments import models_of
from harness.trackers.mlflow.place import are_gone, is_elsewhere
from harness.trackers.mlflow.run import MLflow
from harness.trackers.mlflow.store import answering, connect, require_usable, time_to_store, tracking_uri
from harness.trackers.sending import sending_alone

NAME = "harness"  # the registered model: models:/harness@champion
ALIAS = "champion"
RUN_ALIAS = re.compile(r"(?!v\d+$)[\w-]{5,255}", re.ASCII)  # MLflow refuses v1, as the name of a version
SHA = "harness.checkpoint"  # of a version: the SHA-256 of the checkpoint that it is


def register(run: Path, champion: ChampionRecord, function: Any = None) -> str:
    """The version that holds the champion, a run's model. It is made if there is none yet.

    `function` finds a user's function that made the model. Raises RemoteError.
    """
    uri, folder, sha256 = tracking_uri(), RunFolder.open(run), champion.checkpoint.sha256
    require_usable(uri)
    client = connect(uri)
    with answering(uri):
        import mlflow

        mlflow.set_tracking_uri(uri)  # where the registry looks for a model that is named by its id
        _require_registered_model(client)
        known = _version_of(client, uri, sha256)
        if known is not None:
            return known
    with sending_alone(folder):  # the process that followed the run may still do so
        mirror = MLflow(folder)
        mirror.finish(function=function)  # whatever of the run MLflow lacks, the model above all
    with answering(uri), time_to_store():
        there = client.get_run(mirror.run_id)
        models = models_of(client, there)
        if not models:
            raise RemoteError(
                f"MLflow has no model of {folder.path}",
                there.data.tags.get("harness.model", "it could not be exported"),
                "nothing: models/champion.pt is the champion all the same",
            )
        made = client.create_model_version(
            NAME,
            f"models:/{models[-1].model_id}",
            run_id=mirror.run_id,
            model_id=models[-1].model_id,
            tags={SHA: sha256, "harness.run": folder.id, "harness.champion": str(champion.number)},
        )
        return str(made.version)


def set_alias(version: str, champion: ChampionRecord) -> None:
    """Moves the aliases of a champion to that version. Raises RemoteError."""
    uri = tracking_uri()
    require_usable(uri)
    with answering(uri):
        client = connect(uri)
        for alias in aliases(champion):
            client.set_registered_model_alias(NAME, alias, version)


def aliases(champion: ChampionRecord) -> list[str]:
    """The names of a champion's version: ALIAS, which the next champion takes over, and the id of its run, which stays.

    An id is left out if MLflow takes no such alias.
    """
    run = champion.run.id or ""
    return [ALIAS, *([run] if RUN_ALIAS.fullmatch(run) else [])]


def _require_registered_model(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(NAME)
    except MlflowException:
        client.create_registered_model(NAME)


def _version_of(client: Any, uri: str, sha256: str) -> str | None:
    """The version of that checkpoint whose files are in this project; of a moved one they are not, or they are gone."""
    versions = client.search_model_versions(f"name = '{NAME}'")
    for number in (version.version for version in versions if version.tags.get(SHA) == sha256):
        place = client.get_model_version_download_uri(NAME, number)
        if not is_elsewhere(uri, place) and not are_gone(uri, place):
            return str(number)
    return None
