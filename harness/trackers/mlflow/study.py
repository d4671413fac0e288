"""Mirrors a study in MLflow: a run for the study, below it a run for each trial, and below each trial its folds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from harness.runs.record_parts import Status
from harness.runs.run_folder import COMPLETE, RunFolder
from harness.runs.study_folder import StudyFolder
from harness.runs.study_record import StudyResultRecord
from harness.trackers.mlflow import conversion
from harness.trackers.mlflow.database import never
from harness.trackers.mlflow.experiments import (
    DELETED,
    SENT,
    DeletedRunError,
    Place,
    find_run,
    given_run,
    is_free,
    place_of,
)
from harness.trackers.mlflow.place import left_out_files, require_own_place
from harness.trackers.mlflow.run import STATUS, MLflow
from harness.trackers.mlflow.store import (
    answering,
    connect,
    time_to_store,
    tracking_uri,
)
from harness.util.addresses import short_address

ENDED = (Status.FINISHED, Status.PRUNED, Status.FAILED, Status.INTERRUPTED)


class MLflowStudy:
    """Sends one study folder with all its trials. Raises RemoteError for any error of MLflow.

    Args:
        folder: The study folder.
        given: The id of an existing run in MLflow to use (`MLFLOW_RUN_ID`), unless another folder uses it already.
        stop: Once it returns True, a store that is being made is given up.
    """

    def __init__(self, folder: StudyFolder, given: str = "", stop: Callable[[], bool] = never) -> None:
        self.folder = folder
        self._stop = stop
        self.warnings: list[str] = []  # lines for the user, each once
        self._given = given
        self._uri = tracking_uri()
        self.name = f"MLflow at {short_address(self._uri)}"
        self._client: Any = None
        self._run = ""
        self._mirrors: dict[str, MLflow] = {}  # by trial id, for trials that have not ended
        self._best: tuple[float, int] | None = None
        self._left_out_files = ""  # why the store does not get the study's files
        self.left_out = ""  # why the best trial's model was left out, if it was

    def send(self) -> None:
        """Sends what is new. The first call finds or makes the study's run in MLflow."""
        if not self._run:
            self._client = connect(self._uri, self.warnings, self._stop)
            with answering(self._uri):
                self._run = self._find_or_make()
                self._client.update_run(self._run, status="RUNNING")
        for trial in self.folder.trials():
            if trial.record.trackers.get("mlflow") not in SENT:
                self._send_trial(trial, ended=trial.status in ENDED)
        self._send_best()

    def finish(self) -> None:
        """Sends the rest: also the study's files, the best trial's model and the final status.

        No trial stays RUNNING.
        """
        self.send()
        for trial in self.folder.trials():
            if trial.record.trackers.get("mlflow") not in SENT:
                self._send_trial(trial, ended=True)
        with answering(self._uri), time_to_store():
            record = self.folder.record
            self._end_orphans()
            self._send_result()
            if not self._left_out_files:
                self._send_files()
            self._client.set_tag(self._run, "harness.status", self.folder.status)
            self._client.set_tag(self._run, "mlflow.note.content", conversion.note(record))
            self._client.set_terminated(self._run, STATUS.get(record.status, "FAILED"))
        best = record.result.best if record.result else None
        if best is not None and (self.folder.trial(best.trial) / "run.json").is_file():
            mirror = MLflow(RunFolder.open(self.folder.trial(best.trial)), self._run)
            with contextlib.suppress(DeletedRunError):
                mirror.finish()
            self.left_out = mirror.left_out

    def _send_result(self) -> None:
        """Sends the best trial's expected value, the parameters' importances and the p-values of the top trials."""
        from mlflow.entities import Metric

        record = self.folder.record
        if record.result is None:
            return
        moment, step = conversion.milliseconds(record.started), record.result.counts.get("complete", 0)
        numbers = result_numbers(record.result).items()
        self._client.log_batch(self._run, metrics=[Metric(name, value, moment, step) for name, value in numbers])
        experiment = self._client.get_run(self._run).info.experiment_id
        of_study = f"tags.`harness.study` = '{record.id}' and tags.`harness.role` = 'run'"
        for row in record.result.top:
            if row.p is not None:
                metrics = [Metric("p_against_best", row.p, moment, step)]
                for run in self._client.search_runs(
                    [experiment], f"{of_study} and tags.`harness.trial` = '{row.trial}'"
                ):
                    self._client.log_batch(run.info.run_id, metrics=metrics)

    def _send_files(self) -> None:
        for path in self.folder.files():
            self._client.log_artifact(self._run, str(path))
        for plot in self.folder.pictures():
            self._client.log_artifact(self._run, str(plot), "plots")

    def _end_orphans(self) -> None:
        """Ends runs that are RUNNING on this machine although the folder of their trial no longer exists."""
        experiment = self._client.get_run(self._run).info.experiment_id
        mine = f"tags.`harness.study` = '{self.folder.record.id}' and tags.`harness.role` = 'run'"
        host = f"tags.`harness.host` = '{self.folder.record.host}'"
        known = {trial.id for trial in self.folder.trials()}
        for run in self._client.search_runs([experiment], f"{mine} and {host} and attributes.status = 'RUNNING'"):
            if run.data.tags.get("harness.run") not in known:
                below = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and attributes.status = 'RUNNING'"
                for one in [run, *self._client.search_runs([experiment], below)]:
                    self._client.set_terminated(one.info.run_id, "FAILED")

    def _send_trial(self, trial: RunFolder, ended: bool) -> None:
        mirror = self._mirrors.setdefault(trial.id, MLflow(trial, self._run))
        mirror.folder.reload()
        if not ended:
            with contextlib.suppress(DeletedRunError):
                mirror.send()
            return
        state = COMPLETE
        try:
            mirror.finish(model=False)
        except DeletedRunError:  # the other trials are still sent
            state = DELETED
        del self._mirrors[trial.id]
        if trial.status in ENDED:  # if it died, another process may resume it in the same folder at any time
            trial.record_trackers({"mlflow": state}, only=trial.record)

    def _send_best(self) -> None:
        """Sends the best accuracy so far; the step is the number of complete trials."""
        from mlflow.entities import Metric

        finished = [trial.record for trial in self.folder.trials() if trial.status is Status.FINISHED]
        done = [(record.accuracy, record) for record in finished if record.accuracy is not None]
        if done:
            best = max(accuracy for accuracy, _ in done), len(done)
            if best != self._best:
                seconds = ((record.started, record.run_seconds or 0.0) for _, record in done)
                ended = max(conversion.milliseconds(began) + int(1000 * took) for began, took in seconds)
                with answering(self._uri):
                    self._client.log_batch(self._run, metrics=[Metric("best_accuracy", best[0], ended, best[1])])
                self._best = best

    def _find_or_make(self) -> str:
        from mlflow.entities import Param

        record = self.folder.record
        if self._given:
            place = Place(given_run(self._client, self._given).info.experiment_id)
        else:
            place = place_of(self._client, self._uri, record.experiment_name, record)
        self.warnings += [place.warning] if place.warning else []
        wanted = f"tags.`harness.study` = '{record.id}' and tags.`harness.role` = 'study'"
        if find_run(self._client, place, wanted) is None:
            self._make(place.experiment)
        first = find_run(self._client, place, wanted)
        require_own_place(self._uri, first.info.artifact_uri)
        self._left_out_files = left_out_files(self._uri, first.info.artifact_uri)
        self.warnings += [self._left_out_files] if self._left_out_files else []
        for other in self._client.search_runs([place.experiment], wanted):
            if other.info.run_id not in (first.info.run_id, self._given):  # two machines made it at the same time
                self._client.delete_run(other.info.run_id)
        known = first.data.params  # MLflow does not change a parameter, such as the device of another machine
        values = {name: value for name, value in conversion.parameters(record).items() if name not in known}
        self._client.log_batch(first.info.run_id, params=[Param(name, value) for name, value in values.items()])
        self._client.set_tag(first.info.run_id, "harness.trials", str(record.trials))
        if record.data:
            self._client.log_inputs(first.info.run_id, conversion.data_set(record.data, "training"))
        return str(first.info.run_id)

    def _make(self, experiment: str) -> None:
        """Makes the study's run, or uses the run that the environment names."""
        record = self.folder.record
        own = {"harness.study": record.id, "harness.role": "study", "harness.folder": str(self.folder.path)}
        tags = conversion.tags(record) | own
        if self._given:
            if is_free(given_run(self._client, self._given), [str(record.id)]):
                for name, value in tags.items():
                    if not name.startswith("mlflow."):
                        self._client.set_tag(self._given, name, value)
                return
            tags["mlflow.parentRunId"] = self._given
        self._client.create_run(experiment, conversion.milliseconds(record.started), tags, f"study {record.name}")


def result_numbers(result: StudyResultRecord) -> dict[str, float]:
    """A study's results as metrics of its run: the best trial's expected value, and the parameters' importances."""
    numbers: dict[str, float | None] = {}
    if result.expected is not None:
        expected = result.expected
        numbers |= {"expected": expected.value, "expected_low": expected.low, "expected_high": expected.high}
    for share in result.shares:
        ends = {"share": share.share, "share_low": share.low, "share_high": share.high}
        numbers |= {conversion.key(f"{name}/{share.parameter}"): value for name, value in ends.items()}
    return {name: value for name, value in numbers.items() if value is not None}
