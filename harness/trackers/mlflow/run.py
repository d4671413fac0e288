"""Mirrors one run in MLflow.

Tags identify each run there, and sending something twice changes nothing. So the same calls send a run while it is
running, and send afterwards what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from harness.errors import RemoteError
from harness.runs.record_parts import FoldRecord, Status
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow import conversion
from harness.trackers.mlflow.database import never
from harness.trackers.mlflow.experiments import Place, find_run, given_run, is_free, place_of
from harness.trackers.mlflow.place import left_out_files, require_own_place
from harness.trackers.mlflow.store import (
    RUN_ID,
    answering,
    connect,
    is_recorded,
    time_to_store,
    tracking_uri,
)
from harness.util.addresses import short_address

STATUS = {
    Status.FINISHED: "FINISHED",
    Status.PRUNED: "FINISHED",
    Status.INTERRUPTED: "KILLED",
}  # any other status is FAILED: a run without a process has died
MAY_GO_ON = (Status.INTERRUPTED, Status.DIED, Status.RUNNING)
THEIRS = {"harness.note": "theirs"}  # tag of a run that the user made and described before harness used it
MOST_METRICS = 1000  # in one request: MLflow's limit


class MLflow:
    """Sends one run folder. Raises RemoteError for any error of MLflow.

    Args:
        folder: The run folder.
        below: The id of the parent run in MLflow, if there is one.
        given: The id of an existing run in MLflow to use (`MLFLOW_RUN_ID`), unless another run folder uses it already.
        stop: Once it returns True, a store that is being made is given up.
    """

    def __init__(self, folder: RunFolder, below: str = "", given: str = "", stop: Callable[[], bool] = never) -> None:
        self.folder = folder
        self._stop = stop
        self.warnings: list[str] = []  # lines for the user, each once
        self._below = below
        self._given = given
        self._uri = tracking_uri()
        self.name = f"MLflow at {short_address(self._uri)}"
        self._client: Any = None
        self._experiment = self._parent = ""
        self._children: dict[int, str] = {}
        self._sent: set[tuple[int, int]] = set()  # (fold, epoch)
        self._ended: set[int] = set()  # folds whose result has been sent
        self._deleted: set[int] = set()  # folds whose run was deleted in MLflow
        self._left_out_files = ""  # why the store does not get the run's files
        self._keeps_note = False  # whether to keep the description that the user gave the run
        self.left_out = ""  # why the model was left out, if it was

    @property
    def run_id(self) -> str:
        """The id of the run in MLflow; empty before the first call of `send`."""
        return self._parent

    def send(self) -> None:
        """Sends what is new in the run folder and final. The first call finds or makes the run in MLflow."""
        self._send(self._final)

    def finish(self, model: bool = True, function: Any = None) -> None:
        """Sends the rest: also the files, the model and the final status. A run that is still "running" has died.

        If the run may continue, epochs that would be trained again are not sent.

        Args:
            model: Whether to send the model.
            function: Finds a user's function that made the model; without it such a model is left out (`left_out`).
        """
        self._send(self._final if self.folder.status in MAY_GO_ON else lambda _: True)
        with answering(self._uri), time_to_store():
            record, end = self.folder.record, self._end()
            status = STATUS.get(record.status, "FAILED")
            for fold, child in self._children.items():
                if fold not in self._ended:
                    self._client.set_terminated(child, status, end)
            self._log(self._parent, conversion.numbers(record), end, 0)
            self._client.set_tag(self._parent, "harness.status", self.folder.status)
            if not self._keeps_note:
                self._client.set_tag(self._parent, "mlflow.note.content", conversion.note(record))
            self._client.set_terminated(self._parent, status, end)  # now, because sending the files may fail
            if self._left_out_files:
                return
            self._send_files()
            try:
                if model:
                    from harness.trackers.mlflow.send_model import send_model

                    problem = send_model(self._client, self._uri, self._parent, self.folder, function)
                    self.left_out = self.left_out if problem is None else problem
            finally:  # logging a model sets the run's status to RUNNING
                self._client.set_terminated(self._parent, status, end)

    def _send(self, is_final: Callable[[Mapping[str, Any]], bool]) -> None:
        if not self._parent:
            self._client = connect(self._uri, self.warnings, self._stop)
        rows = [
            row for row in self.folder.epochs() if is_final(row)
        ]  # a damaged file raises here, before a run is made
        unsent = [row for row in rows if (row["fold"], row["epoch"]) not in self._sent]
        with answering(self._uri):
            if not self._parent:
                self._find_or_make()
            for fold in sorted({row["fold"] for row in unsent} - self._deleted):
                self._send_epochs(fold, [row for row in unsent if row["fold"] == fold])
            self._sent |= {(row["fold"], row["epoch"]) for row in unsent}
            for entry in self.folder.record.folds:
                if entry.fold not in self._ended | self._deleted:
                    self._send_result(entry, [row for row in rows if row["fold"] == entry.fold])

    def _final(self, row: Mapping[str, Any]) -> bool:
        """Whether an epoch will not be trained again: its fold has ended, or the saved state is of a later epoch."""
        record, progress = self.folder.record, self.folder.record.progress
        if any(entry.fold == row["fold"] for entry in record.folds):
            return True
        return progress is not None and row["fold"] == progress.fold and row["epoch"] <= progress.epoch

    def _find_or_make(self) -> None:
        conversion.parameters(self.folder.record)  # a damaged record raises here, before a run is made
        parent = self._find() or self._take_given() or self._make_parent()
        run = self._client.get_run(parent)
        require_own_place(self._uri, run.info.artifact_uri)
        self._left_out_files = left_out_files(self._uri, run.info.artifact_uri)
        self.warnings += [self._left_out_files] if self._left_out_files and not self._below else []
        self._keeps_note = THEIRS.items() <= run.data.tags.items()
        # also for an existing run: its process may have been killed before it described the run
        self._describe(parent, known=run.data.params)
        is_running = self.folder.status is Status.RUNNING
        if is_running and run.info.status != "RUNNING":
            self._client.update_run(parent, status="RUNNING")
            self._client.set_tag(parent, "harness.status", Status.RUNNING)
        ended = {entry.fold for entry in self.folder.record.folds}
        for child in self._search(f"tags.`mlflow.parentRunId` = '{parent}' and tags.`harness.role` = 'fold'"):
            fold = int(child.data.tags["harness.fold"])
            if child.info.lifecycle_stage != "active":
                self._deleted.add(fold)
                continue
            self._children[fold] = child.info.run_id
            self._describe(child.info.run_id, fold, known=child.data.params)
            if is_running and fold not in ended and child.info.status != "RUNNING":
                self._client.update_run(child.info.run_id, status="RUNNING")
        self._parent = parent

    def _find(self) -> str:
        """Sets the experiment. Returns the id of the run that exists for this folder; empty if there is none."""
        record, own = self.folder.record, f"tags.`harness.run` = '{self.folder.id}' and tags.`harness.role` = 'run'"
        before = record.store_ids.get(RUN_ID.lower(), "") if is_recorded(record, self._uri) else ""
        if self._below:
            place = Place(self._client.get_run(self._below).info.experiment_id)
        elif self._given:
            place = Place(given_run(self._client, self._given).info.experiment_id)
        else:
            place = self._beside(before) or place_of(self._client, self._uri, record.name, record)
        self.warnings += [place.warning] if place.warning else []
        self._experiment = place.experiment
        run = find_run(self._client, place, own)
        return str(run.info.run_id) if run is not None else ""

    def _beside(self, run_id: str) -> Place | None:
        """The experiment of the run that the environment named when this run began; None if it cannot be used."""
        with contextlib.suppress(RemoteError):
            return Place(given_run(self._client, run_id).info.experiment_id) if run_id else None
        return None

    def _take_given(self) -> str:
        """Makes the run that the environment names this folder's. Returns its id; empty if another folder has it."""
        if not self._given:
            return ""
        run = given_run(self._client, self._given)
        if not is_free(run, [self.folder.id]):
            self._below = self._given
            return ""
        own = dict(THEIRS) if "mlflow.note.content" in run.data.tags else {}
        own |= {name: value for name, value in self._tags().items() if not name.startswith("mlflow.")}
        for name, value in own.items():
            self._client.set_tag(self._given, name, value)
        self._client.update_run(self._given, status="RUNNING")
        return self._given

    def _search(self, filter_string: str) -> list[Any]:
        from mlflow.entities import ViewType

        return list(self._client.search_runs([self._experiment], filter_string, ViewType.ALL))

    def _tags(self) -> dict[str, str]:
        """The run's tags: they identify and describe it."""
        record = self.folder.record
        own = {"harness.run": self.folder.id, "harness.role": "run", "harness.folder": str(self.folder.path)}
        if self._below:
            own |= {"mlflow.parentRunId": self._below}
        if self._below and record.study:
            own |= {"harness.trial": str(record.study.trial), "harness.study": record.study.id}
        return conversion.tags(record) | own

    def _make_parent(self) -> str:
        record = self.folder.record
        return self._make(record.title or self.folder.id, self._tags(), conversion.milliseconds(record.started))

    def _child(self, fold: int, rows: Sequence[Mapping[str, Any]]) -> str:
        """Returns the id of a fold's run; makes it if needed. It began before the first of its `rows` was written."""
        if fold not in self._children:
            own = {"harness.run": self.folder.id, "harness.role": "fold", "harness.fold": str(fold)}
            own = conversion.tags(self.folder.record) | own | {"mlflow.parentRunId": self._parent}
            since = rows[0]["time"] - sum(rows[0].get(f"{split}_seconds", 0) for split in ("train", "valid"))
            self._children[fold] = self._make(f"fold {fold}", own, int(1000 * since))
            self._describe(self._children[fold], fold)
        return self._children[fold]

    def _make(self, title: str, tags: dict[str, str], since: int) -> str:
        return str(self._client.create_run(self._experiment, since, tags, title).info.run_id)

    def _describe(self, run_id: str, fold: int | None = None, known: Collection[str] = ()) -> None:
        """Logs the data set, and the parameters that are not `known` there: MLflow does not change a parameter."""
        from mlflow.entities import Param

        record = self.folder.record
        values = {name: value for name, value in conversion.parameters(record, fold).items() if name not in known}
        self._client.log_batch(run_id, params=[Param(name, value) for name, value in values.items()])
        self._client.log_inputs(
            run_id, conversion.data_set(record.data, "evaluation" if self.folder.is_test else "training")
        )

    def _send_epochs(self, fold: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sends epochs. A row that is sent twice is stored once, because its time stays the same."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * row["time"]), row["epoch"])
            for row in rows
            for name, value in conversion.epoch_numbers(row).items()
        ]
        self._log_all(self._child(fold, rows), metrics)

    def _send_result(self, entry: FoldRecord, rows: Sequence[Mapping[str, Any]]) -> None:
        child, at = self._child(entry.fold, rows), int(1000 * rows[-1]["time"])
        numbers = {name: float(getattr(entry, name)) for name in ("accuracy", "loss", "epoch", "n", "seconds")}
        self._log(child, numbers, at, entry.epoch)
        self._client.set_terminated(child, "FINISHED", at)
        self._ended.add(entry.fold)

    def _log(self, run_id: str, numbers: Mapping[str, float], at: int, step: int) -> None:
        from mlflow.entities import Metric

        self._log_all(run_id, [Metric(name, value, at, step) for name, value in numbers.items()])

    def _log_all(self, run_id: str, metrics: Sequence[Any]) -> None:
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])

    def _send_files(self) -> None:
        """Sends the run folder's files and plots, without checkpoints and event files. The model is sent separately."""
        for path in self.folder.files():  # only known files: others in the folder may be private
            self._client.log_artifact(self._parent, str(path))
        for plot in self.folder.pictures():
            self._client.log_artifact(self._parent, str(plot), "plots")

    def _end(self) -> int:
        """When the run ended, in milliseconds since 1970; for a run that died, the end of its last epoch."""
        record = self.folder.record
        started = conversion.milliseconds(record.started)
        if record.run_seconds is not None:
            return started + int(1000 * record.run_seconds)
        return max([started, *(int(1000 * row["time"]) for row in self.folder.epochs())])
