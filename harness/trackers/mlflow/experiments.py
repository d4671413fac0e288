"""Which experiment and which run of MLflow a run folder belongs to.

`MLFLOW_EXPERIMENT_NAME`, `MLFLOW_EXPERIMENT_ID` and `MLFLOW_RUN_ID` mean what MLflow's manual says.
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

KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the pages are those for language models
LONGEST_NAME = 240  # of an experiment; the store's column takes 256 characters
MODEL_TAG = "harness.model"  # which model of a run was sent, or why there is none
FILE_TAG = "harness.model_md5"  # of the checkpoint that this model was made from
RUN_TAG = "harness.run"  # of a run, and of a model that takes images: the id of the run folder
DELETED = "deleted there"  # what a record says of a tracker that somebody deleted the run in
SENT = (COMPLETE, DELETED)  # what a record says where nothing is left to send
OWNERS = (RUN_TAG, "harness.study")  # tags that say whose run it is


@dataclass(frozen=True)
class Chosen:
    """The experiment that the environment chose when a run began; empty if it chose none."""

    name: str = ""
    number: str = ""

    @classmethod
    def of(cls, record: Origin) -> Chosen:
        """Returns what a record says; of one that no store was recorded in, what the environment says now."""
        if "mlflow" in record.stores:
            return cls(record.stores.get(EXPERIMENT.lower(), ""), record.store_ids.get(EXPERIMENT_ID.lower(), ""))
        return cls.now()

    @classmethod
    def now(cls) -> Chosen:
        """Returns what the environment says."""
        return cls(os.environ.get(EXPERIMENT, ""), os.environ.get(EXPERIMENT_ID, ""))


NOTHING = Chosen()


@dataclass(frozen=True)
class Place:
    """An experiment that runs are logged to.

    Attributes:
        experiment: Its id.
        passed_over: Experiments that were deleted, or whose files go elsewhere, by which it was not chosen.
        note: For people: why it is not the one of the expected name; empty if it is.
    """

    experiment: str
    passed_over: tuple[str, ...] = ()
    note: str = ""


def place_of(client: Any, uri: str, name: str, record: Origin) -> Place:
    """Finds or makes the experiment that a record chose; if it cannot be used, the one that the environment says now.

    Raises RemoteError as `find_place`.
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

    A deleted experiment stays deleted, and one whose files go elsewhere is left as it is: another name is taken.

    Args:
        client: MLflow's client.
        uri: The address of its store.
        name: Its name, unless another one was chosen.
        chosen: By the environment. A name counts more than an id, and both must fit, as in MLflow.

    Raises:
        RemoteError: There is no such experiment, or its files go elsewhere.
    """
    if chosen.number and not chosen.name:
        return Place(_by_id(client, uri, chosen.number))
    name = chosen.name or name
    base, wanted, passed_over, notes = name, name, [], []
    while (experiment := client.get_experiment_by_name(wanted)) is not None:
        if experiment.lifecycle_stage == "deleted":
            notes.append(
                f"the experiment {wanted!r} was deleted in MLflow, and stays deleted "
                f"(mlflow experiments restore --experiment-id {experiment.experiment_id} brings it back)"
            )
            wanted = f"{base} {len(notes) + 1}"
        elif not is_server(uri) and base == name and is_elsewhere(uri, experiment.artifact_location):
            notes.append(
                f"MLflow keeps the files of {wanted!r} in {short_address(experiment.artifact_location)}, which is not "
                f"in this folder: the project was moved or copied, and no command of MLflow changes that place "
                f"(harness sync RUN sends an earlier run again, with its files)"
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
            f"{EXPERIMENT} names it, and {EXPERIMENT_ID} says {chosen.number}: its id is {experiment.experiment_id}",
            f"unset {EXPERIMENT_ID}, then harness sync RUN",
        )
    require_own_place(uri, experiment.artifact_location)
    note = "; ".join([*notes, f"runs are logged to {wanted!r} now"]) if notes else ""
    return Place(str(experiment.experiment_id), tuple(passed_over), note)


def find_run(client: Any, place: Place, tags: str) -> Any:
    """Returns the oldest run with these tags, in an experiment or one that was passed over; None if there is none.

    Raises RemoteError if the only one was deleted: what a person deletes stays deleted.
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
    """A run was deleted in MLflow by a person, and is not sent again."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            "the run is not sent to MLflow",
            "somebody deleted it there, so it stays deleted",
            f"mlflow runs restore --run-id {run_id}, then harness sync RUN",
        )


def given_run(client: Any, run_id: str) -> Any:
    """Returns the run that `MLFLOW_RUN_ID` names. Raises RemoteError if there is none, or if it was deleted."""
    run = _known(client.get_run, run_id)
    if run is None or run.info.lifecycle_stage != "active":
        raise RemoteError(
            f"MLflow's run {run_id} cannot be used",
            f"{RUN_ID} names it, and it {'is not there' if run is None else 'was deleted'}",
            f"unset {RUN_ID}, for a run that is made now, then harness sync RUN",
        )
    return run


def is_free(run: Any, own: Sequence[str]) -> bool:
    """Returns whether a run of MLflow is nobody's yet, or one of `own`: ids of a run folder or a study."""
    owners = {run.data.tags[name] for name in OWNERS if name in run.data.tags}
    return owners <= set(own)


def _make_experiment(client: Any, name: str) -> Any:
    """Makes an experiment, or returns the one that another process has made since."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=own_location(), tags=KIND))
    except MlflowException as error:
        experiment = client.get_experiment_by_name(name)
        if experiment is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return experiment


def _known(get: Callable[[str], Any], number: str) -> Any:
    """Returns what `get` finds under an id; None if MLflow has nothing there, or if it is no id."""
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
            f"{EXPERIMENT_ID} names it, and it {'is not there' if experiment is None else 'was deleted'}",
            f"unset {EXPERIMENT_ID}, or mlflow experiments search, which lists the ids; then harness sync RUN",
        )
    require_own_place(uri, experiment.artifact_location)
    return str(experiment.experiment_id)


def models_of(client: Any, run: Any) -> list[Any]:
    """The models that a run has logged and that are there, the oldest first. MLflow lists them in any order."""
    from mlflow.exceptions import MlflowException

    models = []
    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            models.append(client.get_logged_model(output.model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return sorted(models, key=lambda model: model.creation_timestamp)
