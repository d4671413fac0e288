"""Finds the experiment and the run of MLflow that a run folder belongs to.

`MLFLOW_EXPERIMENT_NAME`, `MLFLOW_EXPERIMENT_ID` and `MLFLOW_RUN_ID` mean the same as in MLflow's manual.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RemoteError
from harness.runs.records import Origin
from harness.runs.run_folder import COMPLETE
from harness.trackers.mlflow.place import is_elsewhere, own_location, require_own_place
from harness.trackers.mlflow.store import EXPERIMENT, EXPERIMENT_ID, RUN_ID, is_server
from harness.util.addresses import short_address

KIND = {"mlflow.experimentKind": "custom_model_development"}  # otherwise MLflow shows pages for language models
LONGEST_NAME = 240  # characters of an experiment's name; the store's column takes 256
MODEL_TAG = "harness.model"  # which model of a run was sent, or why there is none
FILE_TAG = "harness.model_md5"  # MD5 of the checkpoint that this model was made from
RUN_TAG = "harness.run"  # the id of the run folder; set on runs, and on models that take images
DELETED = "deleted there"  # a tracker's state in the record if somebody deleted the run in that tracker
SENT = (COMPLETE, DELETED)  # a tracker's states in the record if nothing is left to send
OWNERS = (RUN_TAG, "harness.study")  # tags that name the run folder or the study that a run belongs to


@dataclass(frozen=True)
class Chosen:
    """The experiment that the environment chose when a run began; empty if it chose none."""

    name: str = ""
    number: str = ""

    @classmethod
    def of(cls, record: Origin) -> Chosen:
        """Returns the choice in a record; if the record names no store, the environment's choice now."""
        if "mlflow" in record.stores:
            return cls(record.stores.get(EXPERIMENT.lower(), ""), record.store_ids.get(EXPERIMENT_ID.lower(), ""))
        return cls.now()

    @classmethod
    def now(cls) -> Chosen:
        """Returns the environment's choice now."""
        return cls(os.environ.get(EXPERIMENT, ""), os.environ.get(EXPERIMENT_ID, ""))


NOTHING = Chosen()


@dataclass(frozen=True)
class Place:
    """An experiment that runs are logged to.

    Attributes:
        experiment: Its id.
        passed_over: Ids of experiments that could not be used: they were deleted, or their files go elsewhere.
        warning: Why this experiment does not have the expected name; empty if it has.
    """

    experiment: str
    passed_over: tuple[str, ...] = ()
    warning: str = ""


def place_of(client: Any, uri: str, name: str, record: Origin) -> Place:
    """Finds or makes the experiment in a record; if it cannot be used, the one that the environment names now.

    Raises RemoteError, as `find_place` does.
    """
    chosen = Chosen.of(record)
    try:
        return find_place(client, uri, name, chosen)
    except RemoteError:
        if chosen == Chosen.now():
            raise
        return find_place(client, uri, name, Chosen.now())


def find_place(client: Any, uri: str, name: str, chosen: Chosen = NOTHING) -> Place:
    """Finds or makes the experiment for runs of the experiment `name`, or the one that was chosen.

    An experiment is not used, and another name is taken, if it was deleted or if its files go elsewhere.

    Args:
        client: MLflow's client.
        uri: The address of its store.
        name: Its name, unless another one was chosen.
        chosen: The environment's choice. A name comes before an id, and both must match, as in MLflow.

    Raises:
        RemoteError: There is no such experiment, or its files go elsewhere.
    """
    if chosen.number and not chosen.name:
        return Place(_by_id(client, uri, chosen.number))
    name = chosen.name or name
    base, wanted, passed_over, reasons = name, name, [], []
    while (experiment := client.get_experiment_by_name(wanted)) is not None:
        if experiment.lifecycle_stage == "deleted":
            reasons.append(
                f"the experiment {wanted!r} was deleted in MLflow, and stays deleted "
                f"(to restore it: mlflow experiments restore --experiment-id {experiment.experiment_id})"
            )
            wanted = f"{base} {len(reasons) + 1}"
        elif not is_server(uri) and base == name and is_elsewhere(uri, experiment.artifact_location):
            reasons.append(
                f"MLflow keeps the files of {wanted!r} in {short_address(experiment.artifact_location)}, which is not "
                f"in this folder: the project was moved or copied, and MLflow cannot change that location "
                f"(to send an earlier run again, with its files: harness sync RUN)"
            )
            base = wanted = f"{name} in {str(Path.cwd())[len(name) - LONGEST_NAME :]}"
        else:
            break
        passed_over.append(str(experiment.experiment_id))
    if experiment is None:
        experiment = _make_experiment(client, wanted)
    if chosen.number and chosen.number != str(experiment.experiment_id):
        raise RemoteError(
            f"MLflow's experiment {name!r} cannot be used",
            f"{EXPERIMENT} names it, but {EXPERIMENT_ID} is {chosen.number}, and its id is {experiment.experiment_id}",
            f"unset {EXPERIMENT_ID}, then harness sync RUN",
        )
    require_own_place(uri, experiment.artifact_location)
    warning = "; ".join([*reasons, f"runs are now logged to {wanted!r}"]) if reasons else ""
    return Place(str(experiment.experiment_id), tuple(passed_over), warning)


def find_run(client: Any, place: Place, tags: str) -> Any:
    """Returns the oldest run with these tags in a place's experiments; None if there is none.

    Raises:
        DeletedRunError: All such runs were deleted. A run that somebody deleted stays deleted.
    """
    from mlflow.entities import ViewType

    runs = list(client.search_runs([place.experiment], tags, ViewType.ALL))
    if not runs and place.passed_over:
        runs = list(client.search_runs(list(place.passed_over), tags, ViewType.DELETED_ONLY))
    there = [run for run in runs if run.info.lifecycle_stage == "active"]
    if not there and runs:
        raise DeletedRunError(runs[0].info.run_id)
    return min(there, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


class DeletedRunError(RemoteError):
    """A user deleted the run in MLflow, so it is not sent again."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            "the run is not sent to MLflow",
            "it was deleted in MLflow, and stays deleted",
            f"mlflow runs restore --run-id {run_id}, then harness sync RUN",
        )


def given_run(client: Any, run_id: str) -> Any:
    """Returns the run that `MLFLOW_RUN_ID` names. Raises RemoteError if it does not exist or was deleted."""
    run = _known(client.get_run, run_id)
    if run is None or run.info.lifecycle_stage != "active":
        raise RemoteError(
            f"MLflow's run {run_id} cannot be used",
            f"{RUN_ID} names it, but it {'does not exist' if run is None else 'was deleted'}",
            f"unset {RUN_ID}, then harness sync RUN, which makes a new run",
        )
    return run


def is_free(run: Any, own: Sequence[str]) -> bool:
    """Returns whether a run of MLflow has no owner yet, or its owner is in `own` (ids of a run folder or a study)."""
    owners = {run.data.tags[name] for name in OWNERS if name in run.data.tags}
    return owners <= set(own)


def _make_experiment(client: Any, name: str) -> Any:
    """Makes an experiment, or returns the one that another process has just made."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=own_location(), tags=KIND))
    except MlflowException as error:
        experiment = client.get_experiment_by_name(name)
        if experiment is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return experiment


def _known(get: Callable[[str], Any], number: str) -> Any:
    """Returns what `get` finds under an id; None if MLflow has nothing there, or if the id is invalid."""
    from mlflow.exceptions import MlflowException

    try:
        return get(number)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _by_id(client: Any, uri: str, number: str) -> str:
    experiment = _known(client.get_experiment, number)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise RemoteError(
            f"MLflow's experiment {number} cannot be used",
            f"{EXPERIMENT_ID} names it, but it {'does not exist' if experiment is None else 'was deleted'}",
            f"unset {EXPERIMENT_ID}, then harness sync RUN; mlflow experiments search lists the ids",
        )
    require_own_place(uri, experiment.artifact_location)
    return str(experiment.experiment_id)


def models_of(client: Any, run: Any) -> list[Any]:
    """The models that a run has logged and that still exist, oldest first. MLflow lists them in any order."""
    from mlflow.exceptions import MlflowException

    models = []
    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            models.append(client.get_logged_model(output.model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return sorted(models, key=lambda model: model.creation_timestamp)
