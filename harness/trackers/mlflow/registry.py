"""Registers the champion in MLflow's model registry: a version for each champion, and an alias for the current one."""

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
RUN_ALIAS = re.compile(r"(?!v\d+$)[\w-]{5,255}", re.ASCII)  # MLflow refuses v1, because it looks like a version
SHA = "harness.checkpoint"  # a version's tag: the SHA-256 of its checkpoint


def register(run: Path, champion: ChampionRecord, function: Any = None) -> str:
    """Returns the registered version of the champion, a run's model; makes it if there is none.

    Args:
        run: The run folder.
        champion: The champion's record.
        function: Finds a user's function that made the model.

    Raises:
        RemoteError: MLflow cannot be used, or has no model of the run.
    """
    uri, folder, sha256 = tracking_uri(), RunFolder.open(run), champion.checkpoint.sha256
    require_usable(uri)
    client = connect(uri)
    with answering(uri):
        import mlflow

        mlflow.set_tracking_uri(uri)  # the registry looks here for a model that is given by its id
        _require_registered_model(client)
        known = _version_of(client, uri, sha256)
        if known is not None:
            return known
    with sending_alone(folder):  # the process that follows the run may still be sending it
        mirror = MLflow(folder)
        mirror.finish(function=function)  # sends all that MLflow lacks, most importantly the model
    with answering(uri), time_to_store():
        sent = client.get_run(mirror.run_id)
        models = models_of(client, sent)
        if not models:
            raise RemoteError(
                f"MLflow has no model of {folder.path}",
                sent.data.tags.get("harness.model", "it could not be exported"),
                "nothing: models/champion.pt is the champion anyway",
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
    """Moves the aliases of a champion to a version. Raises RemoteError."""
    uri = tracking_uri()
    require_usable(uri)
    with answering(uri):
        client = connect(uri)
        for alias in aliases(champion):
            client.set_registered_model_alias(NAME, alias, version)


def aliases(champion: ChampionRecord) -> list[str]:
    """The aliases of a champion's version: ALIAS, which moves to the next champion, and the run's id, which stays.

    The id is left out if MLflow does not allow it as an alias.
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
    """The version of a checkpoint whose files exist in this project; None if there is none, as in a moved project."""
    versions = client.search_model_versions(f"name = '{NAME}'")
    for number in (version.version for version in versions if version.tags.get(SHA) == sha256):
        place = client.get_model_version_download_uri(NAME, number)
        if not is_elsewhere(uri, place) and not are_gone(uri, place):
            return str(number)
    return None
