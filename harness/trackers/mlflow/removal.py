"""Removes from MLflow what was removed here: the run with its folds, their files, and the model.

MLflow's own interface marks a run as deleted and keeps its files. Only `mlflow gc` deletes the files, but it also
deletes each experiment that a user deleted and may want to restore. So this module marks the run and deletes its files.
A few kB stay in MLflow's database. They show that the run was removed, so a copy of its folder does not add it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import RemoteError
from harness.runs.pending_removals import PendingRemoval, note_removed, pending_removals
from harness.trackers.mlflow.experiments import MODEL_TAG, models_of
from harness.trackers.mlflow.place import is_elsewhere, local_folder
from harness.trackers.mlflow.store import (
    answering,
    connect,
    error_line,
    require_usable,
    sqlite_file,
    time_to_store,
    tracking_uri,
)

MOST = 1000  # rows in one request to MLflow


@dataclasses.dataclass
class Removed:
    """The result of removals in MLflow.

    Attributes:
        runs: Number of MLflow's runs that were removed, folds included.
        notes: Lines for the user: what stays in MLflow, and why.
        left: Number of removed runs that MLflow still has, because it could not be reached.
    """

    runs: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)
    left: int = 0


def remove_pending() -> Removed:
    """Removes the runs on the list of removed runs from the current store. Those that cannot be removed stay listed."""
    uri, removed = tracking_uri(), Removed()
    left = pending_removals(uri)
    file = sqlite_file(uri)
    if not left or (file is not None and not file.exists()):
        note_removed(left)
        return removed
    try:
        require_usable(uri)
        remover = _Remover(uri)
    except RemoteError as error:
        return Removed(notes=[error_line(error)], left=len(left))
    for removal in sorted(left, key=lambda removal: removal.kind):  # a study comes after its trials
        try:
            with answering(uri), time_to_store():
                removed.runs += remover.remove(removal)
            note_removed([removal])
        except RemoteError as error:
            removed.notes.append(f"{removal.kind} {removal.id}: {error_line(error)}")
            removed.left += 1
    removed.notes += remover.notes
    if remover.outside:
        removed.notes.append(
            f"files in {remover.outside} places stay: in MLflow's store they are outside this project "
            "(was it moved or copied?)"
        )
    return removed


def remove_earlier_models(uri: str, run_id: str) -> None:
    """Removes all models of a run except the last one, with their files. A registered model stays.

    Raises any error of MLflow.
    """
    remover = _Remover(uri)
    remover.remove_earlier_models(run_id)


class _Remover:
    """Removes runs and models from one store of MLflow. Raises RemoteError."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client = connect(uri)
        self.notes: list[str] = []
        self.outside = 0  # number of locations outside this project
        with answering(uri):
            import mlflow
            from mlflow.entities import ViewType

            mlflow.set_tracking_uri(uri)  # the registry looks here for a model that is given by its id
            self._all = ViewType.ALL
            experiments = _paged(lambda token: self._client.search_experiments(ViewType.ALL, MOST, page_token=token))
            self._experiments = [experiment.experiment_id for experiment in experiments]
            self._versions = list(_paged(lambda token: self._client.search_model_versions(page_token=token)))

    def remove(self, removal: PendingRemoval) -> int:
        """Removes one run with its folds, or a study's own run. Returns the number of removed runs of MLflow."""
        if removal.kind == "models":
            return self._remove_models(removal)
        own = self._own(removal)
        why = next((why for run in own if (why := self._why_it_stays(run, removal))), "")
        if why:
            self.notes.append(f"{removal.kind} {removal.id} stays in MLflow: {why}")
            return 0
        for run in own:
            for model in models_of(self._client, run):
                self._remove_model(model)
            if run.info.lifecycle_stage == "active":
                self._client.delete_run(run.info.run_id)
            self._delete_files(run.info.artifact_uri, run.info.run_id)
        return len(own)

    def _remove_models(self, removal: PendingRemoval) -> int:
        """Removes the model of a run, and keeps its metrics. Returns 0, because no run is removed."""
        for run in self._search("harness.run", removal.id):
            is_ours = _role(run) == "run" and run.info.run_id != removal.given
            if is_ours and not self._registered_version(run):
                for model in models_of(self._client, run):
                    self._remove_model(model)
                self._delete_files(run.info.artifact_uri, run.info.run_id, "checkpoints")
                if run.info.lifecycle_stage == "active":
                    self._client.set_tag(run.info.run_id, MODEL_TAG, "removed by harness runs")
        return 0

    def remove_earlier_models(self, run_id: str) -> None:
        for model in models_of(self._client, self._client.get_run(run_id))[:-1]:
            if not any(_is_of_model(version, {model.model_id}) for version in self._versions):
                self._remove_model(model)

    def _registered_version(self, run: Any) -> str:
        """The registered version of a run's model, as text for the user; empty if there is none."""
        models = {output.model_id for output in (run.outputs.model_outputs if run.outputs else [])}
        for version in self._versions:
            if version.run_id == run.info.run_id or _is_of_model(version, models):
                return f"version {version.version} of {version.name!r}"
        return ""

    def _why_it_stays(self, run: Any, removal: PendingRemoval) -> str:
        if run.info.run_id == removal.given:
            return f"you made that run, MLFLOW_RUN_ID named it (mlflow runs delete --run-id {removal.given})"
        version = self._registered_version(run)
        if version:
            return f"{version} in its model registry is this run's model"
        if removal.kind == "study":
            trials = [each for each in self._search("harness.study", removal.id) if _is_trial(each)]
            if any(not _is_of_this_machine(each) for each in trials):
                return "it has trials of another machine"
        return ""

    def _own(self, removal: PendingRemoval) -> list[Any]:
        """MLflow's runs of a run and its folds; for a study, its own run and this machine's trials that still exist."""
        if removal.kind == "run":
            return [run for run in self._search("harness.run", removal.id) if _role(run) in ("run", "fold")]
        of_study = self._search("harness.study", removal.id)
        trials = [run for run in of_study if _is_trial(run) and _is_of_this_machine(run)]
        folds = [fold for run in trials for fold in self._search("mlflow.parentRunId", run.info.run_id)]
        return [*folds, *trials, *(run for run in of_study if _role(run) == "study")]

    def _search(self, tag: str, value: str) -> list[Any]:
        where = f"tags.`{tag}` = '{value}'"
        return list(
            _paged(lambda token: self._client.search_runs(self._experiments, where, self._all, MOST, page_token=token))
        )

    def _remove_model(self, model: Any) -> None:
        self._delete_files(model.artifact_location, model.model_id)
        self._client.delete_logged_model(model.model_id)

    def _delete_files(self, location: str, owner: str, part: str | None = None) -> None:
        """Deletes the files at a location, if it is a location for files of that run or model.

        Args:
            location: The location in MLflow's store.
            owner: The id of the run or model.
            part: A folder in the location; None deletes all files.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        folder = local_folder(location)
        parts = folder.parts if folder is not None else tuple(location.split("/"))
        if owner not in parts[-2:] or is_elsewhere(self._uri, location):
            self.outside += 1
            return
        files: Any = get_artifact_repository(location, self._uri)
        files.delete_artifacts(part)
        if part is None and folder is not None and folder.parent.name == owner:
            with contextlib.suppress(OSError):  # it is not empty, or does not exist
                Path(folder.parent).rmdir()


def _role(run: Any) -> str:
    return str(run.data.tags.get("harness.role"))


def _is_trial(run: Any) -> bool:
    """Whether it is a trial's run, and not marked as deleted."""
    return _role(run) == "run" and run.info.lifecycle_stage == "active"


def _is_of_this_machine(run: Any) -> bool:
    return bool(run.data.tags.get("harness.host") == socket.gethostname())


def _is_of_model(version: Any, models: set[str]) -> bool:
    """Whether a registered version is one of these models."""
    return bool(models & {getattr(version, "model_id", ""), *str(version.source).split("/")})


def _paged(ask: Any) -> Iterable[Any]:
    """Yields all results of a search in MLflow, page by page."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return
