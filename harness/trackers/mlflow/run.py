"""One run's mirror in MLflow.

Everything is found again by its tags, and sent so that sending it twice changes nothing: the same calls follow a run
as it goes, and send afterwards what was missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, RemoteError
from harness.runs.find import latest_runs
from harness.runs.record_parts import FoldRecord, Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.trackers.mlflow import conversion
from harness.trackers.mlflow.store import (
    answering,
    connect,
    is_recorded,
    require_own_files_folder,
    require_usable,
    time_to_store,
    tracking_uri,
)
from harness.util.addresses import short_address, without_secrets

STATUS = {
    Status.FINISHED: "FINISHED",
    Status.PRUNED: "FINISHED",
    Status.INTERRUPTED: "KILLED",
}  # all else is FAILED: a run that is gone has died
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the pages are those for language models
MODEL_TAG = "harness.model"
MOST_METRICS = 1000  # in one request, MLflow's own limit


class MLflow:
    """Sends one run folder, below the run `below` if one is given. Raises RemoteError for whatever MLflow raises."""

    def __init__(self, folder: RunFolder, below: str = "") -> None:
        self.folder = folder
        self._below = below
        self._uri = tracking_uri()
        self.name = f"MLflow at {short_address(self._uri)}"
        self._client: Any = None
        self._experiment = self._parent = ""
        self._children: dict[int, str] = {}
        self._sent = 0  # rows of metrics.jsonl
        self._ended: set[int] = set()  # folds whose result has been sent
        self.left_out = ""  # why the model was left out, if it was

    @property
    def run_id(self) -> str:
        """Of the run there; empty before anything was sent."""
        return self._parent

    def send(self) -> None:
        """All that is new in the run folder. The first call makes the run there, or finds it."""
        if not self._parent:
            self._client = connect(self._uri)
        rows = self.folder.epochs()  # before anything is made there: they may be damaged
        with answering(self._uri):
            if not self._parent:
                self._find_or_make()
            for fold in sorted({row["fold"] for row in rows[self._sent :]}):
                self._send_epochs(fold, [row for row in rows[self._sent :] if row["fold"] == fold])
            self._sent = len(rows)
            for entry in self.folder.record.folds:
                if entry.fold not in self._ended:
                    self._send_result(entry, [row for row in rows if row["fold"] == entry.fold])

    def finish(self, model: bool = True, function: Any = None) -> None:
        """Also the files, the model, and how the run ended; one that is still called running has died.

        `function` finds a user's function that made the model; without it such a model is left out (`left_out`).
        """
        self.send()
        with answering(self._uri), time_to_store():
            record, end = self.folder.record, self._end()
            status = STATUS.get(record.status, "FAILED")
            for fold, child in self._children.items():
                if fold not in self._ended:
                    self._client.set_terminated(child, status, end)
            self._log(self._parent, conversion.numbers(record), end, 0)
            self._client.set_tag(self._parent, "harness.status", self.folder.status)
            self._client.set_tag(self._parent, "mlflow.note.content", conversion.note(record))
            self._client.set_terminated(self._parent, status, end)  # whatever becomes of the files
            self._send_files()
            try:
                if model:
                    self._send_model(function)
            finally:  # MLflow sets a run to which a model is logged to RUNNING
                self._client.set_terminated(self._parent, status, end)

    def _find_or_make(self) -> None:
        conversion.parameters(self.folder.record)  # of a record that somebody damaged: fails before anything is made
        self._experiment = experiment_named(self._client, self.folder.record.name)
        require_own_files_folder(self._uri, self._client.get_experiment(self._experiment).artifact_location)
        runs = self._search(f"tags.`harness.run` = '{self.folder.id}' and tags.`harness.role` = 'run'")
        parent = runs[0].info.run_id if runs else self._make_parent()
        require_own_files_folder(self._uri, self._client.get_run(parent).info.artifact_uri)
        self._describe(parent)  # also what was found: it may have been made a moment before something failed
        for child in self._search(f"tags.`mlflow.parentRunId` = '{parent}'"):
            fold = int(child.data.tags["harness.fold"])
            self._children[fold] = child.info.run_id
            self._describe(child.info.run_id, fold)
        self._parent = parent

    def _search(self, filter_string: str) -> list[Any]:
        return list(self._client.search_runs([self._experiment], filter_string))

    def _make_parent(self) -> str:
        record = self.folder.record
        own = {"harness.run": self.folder.id, "harness.role": "run", "harness.folder": str(self.folder.path)}
        if self._below and record.study:
            own |= {"mlflow.parentRunId": self._below, "harness.trial": str(record.study.trial)}
            own |= {"harness.study": record.study.id}
        return self._make(record.title or self.folder.id, own, conversion.milliseconds(record.started))

    def _child(self, fold: int, rows: Sequence[Mapping[str, Any]]) -> str:
        """The run of a fold, which began before the first of its `rows` was written."""
        if fold not in self._children:
            own = {"harness.run": self.folder.id, "harness.role": "fold", "harness.fold": str(fold)}
            own |= {"mlflow.parentRunId": self._parent}
            since = rows[0]["time"] - sum(rows[0].get(f"{side}_seconds", 0) for side in ("train", "valid"))
            self._children[fold] = self._make(f"fold {fold}", own, int(1000 * since))
            self._describe(self._children[fold], fold)
        return self._children[fold]

    def _make(self, title: str, own: dict[str, str], since: int) -> str:
        run = self._client.create_run(self._experiment, since, conversion.tags(self.folder.record) | own, title)
        return str(run.info.run_id)

    def _describe(self, run_id: str, fold: int | None = None) -> None:
        from mlflow.entities import Param

        record = self.folder.record
        values = conversion.parameters(record, fold)
        self._client.log_batch(run_id, params=[Param(name, value) for name, value in values.items()])
        self._client.log_inputs(
            run_id, conversion.data_set(record.data, "evaluation" if self.folder.is_test else "training")
        )

    def _send_epochs(self, fold: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """A row that is sent twice is one row there, since its time is the row's own."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * row["time"]), row["epoch"])
            for row in rows
            for name, value in conversion.epoch_numbers(row).items()
        ]
        self._log_all(self._child(fold, rows), metrics)

    def _send_result(self, entry: FoldRecord, rows: Sequence[Mapping[str, Any]]) -> None:
        child, at = self._child(entry.fold, rows), int(1000 * rows[-1]["time"])
        numbers = {name: float(getattr(entry, name)) for name in ("accuracy", "loss", "best_epoch", "n", "seconds")}
        self._log(child, numbers, at, entry.best_epoch)
        self._client.set_terminated(child, "FINISHED", at)
        self._ended.add(entry.fold)

    def _log(self, run_id: str, numbers: Mapping[str, float], at: int, step: int) -> None:
        from mlflow.entities import Metric

        self._log_all(run_id, [Metric(name, value, at, step) for name, value in numbers.items()])

    def _log_all(self, run_id: str, metrics: Sequence[Any]) -> None:
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])

    def _send_files(self) -> None:
        """The run folder less its checkpoints and event files: of the ones the best is the model, below."""
        for path in self.folder.files():  # and nothing else, which may be anybody's
            self._client.log_artifact(self._parent, str(path))
        for picture in self.folder.pictures():
            self._client.log_artifact(self._parent, str(picture), "plots")

    def _send_model(self, function: Any) -> None:
        """The best fold's model, once; what cannot be exported goes as its checkpoint."""
        from harness.trackers.mlflow.model import LEFT_OUT, log_model

        best = self.folder.best_fold()
        before = self._client.get_run(self._parent).data.tags.get(MODEL_TAG)
        if best is None or (before is not None and not (function is not None and before.startswith(LEFT_OUT))):
            return
        problem = log_model(self._uri, self._parent, self.folder, best, function)
        self.left_out = problem
        if problem and before is None and self.folder.checkpoint_of(best).is_file():
            self._client.log_artifact(self._parent, str(self.folder.checkpoint_of(best)), "checkpoints")
        self._client.set_tag(self._parent, MODEL_TAG, problem or f"fold {best.fold}")

    def _end(self) -> int:
        """When the run ended, in milliseconds; of one that died, when its last epoch did."""
        record = self.folder.record
        started = conversion.milliseconds(record.started)
        if record.run_seconds is not None:
            return started + int(1000 * record.run_seconds)
        return max([started, *(int(1000 * row["time"]) for row in self.folder.epochs())])


def experiment_named(client: Any, name: str) -> str:
    """The id of MLflow's experiment of that name, which is made where there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return str(client.create_experiment(name, tags=KIND))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def send_unsent(runs: Path, enough: Callable[[], bool] = lambda: False) -> list[str]:
    """Sends what ended runs under `runs` left unsent, killed together with their follower, say: none stays RUNNING.

    Only those whose store is the one of now, and none more once there was `enough`. Returns what could not be sent, a
    line each.
    """
    here = tracking_uri()
    left = [
        folder
        for folder in latest_runs(runs)
        if folder.status is not Status.RUNNING
        and folder.record.trackers.get("mlflow") != COMPLETE
        and is_recorded(folder.record, here)
    ]
    problems = []
    try:
        if left:
            require_usable(here)
    except RemoteError as error:
        return [error_line(error)]
    for folder in left:
        if enough():
            break
        try:
            with folder.sending() as alone:
                folder.reload()
                known = folder.record.trackers
                if alone and known.get("mlflow") != COMPLETE:
                    mirror = MLflow(folder)
                    mirror.finish()
                    problems += [f"{folder.path}: the model is {mirror.left_out}"] if mirror.left_out else []
                    folder.update(trackers={**known, "mlflow": COMPLETE})
        except Exception as error:  # one that cannot be sent must not keep the others from it
            problems.append(f"{folder.path} could not be sent to MLflow: {error_line(error)}")
    return problems


def error_line(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, HarnessError):
        return " ".join(f"{error.what}: {error.why}".split())
    text = without_secrets(f"{type(error).__name__}: {error}", tracking_uri())
    return " ".join(f"MLflow cannot be used: {text}".split())
