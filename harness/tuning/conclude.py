"""Ends a search: its result goes to the study's folder and to MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.config.object_text import is_same_name
from harness.errors import HarnessError, StorageError
from harness.runs.record_parts import Status
from harness.runs.study_folder import StudyFolder
from harness.runs.study_record import StudyResultRecord
from harness.trackers.follower import Follower, leave_rest
from harness.trackers.mlflow.store import recorded, tracking_uri
from harness.tuning.asked_trial import fixed_trial
from harness.tuning.best_file import CannotBeWrittenError, best_file, is_literal
from harness.tuning.pictures import draw_study
from harness.tuning.quiet import quiet
from harness.tuning.result import StudyResult, summarise_study, write_trials
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import TrialRecord
from harness.util.addresses import without_secrets
from harness.util.console import print_line
from harness.util.locks import locked
from harness.util.schema import parse, schema_of
from harness.util.user_code import reason


@contextlib.contextmanager
def mirrored_to_mlflow(search: SearchPlan, follower: Follower | None) -> Iterator[None]:
    """While the block runs, a process sends the study to MLflow, if the experiment names that tracker."""
    if "mlflow" not in search.trackers:
        yield
        return
    search.folder.update(**recorded(tracking_uri()), mlflow=None)
    try:
        follower = follower or Follower()
        follower.begin(search.folder)
    except OSError as error:
        print_line(f"warning: mlflow has failed ({error}); the study goes on, and its folder has all")
        follower = None
        search.folder.update(mlflow="its process could not be started")
    try:
        yield
    finally:
        if follower is not None:
            leave_rest(follower, search.folder, search.folder.record.status is Status.INTERRUPTED)


def conclude_search(
    search: SearchPlan, study: Study, status: Status, error: BaseException | None = None
) -> StudyResult:
    """Summarises the study as it is now; writes its table, its plots, its report and `best.py`."""
    why = None if error is None else f"{type(error).__name__}: {getattr(error, 'what', error)}".rstrip(": ")
    why = None if why is None else without_secrets(why, study.address)
    with _one_after_the_other(search.folder):
        return _concluded(search, study, status, why)


def _concluded(search: SearchPlan, study: Study, status: Status, why: str | None) -> StudyResult:
    result, folder = summarise_study(search, study), search.folder
    with _kept_apart("the result in study.json"):
        folder.update(status=status, error=why)
        folder.update(result=parse(schema_of(StudyResultRecord), result.to_dict()))
    with _kept_apart("trials.csv"):
        write_trials(folder.path / "trials.csv", result)
    with _kept_apart("experiment.py"):
        folder.write("experiment.py", search.file.code)
    if result.best is not None:
        _write_best(search, study, result.best)
    with _kept_apart("plots"):
        draw_study(folder.plots, search, study, result)
    with _kept_apart("report.html"):
        from harness.report.write import write_study_report  # the template library can wait

        write_study_report(folder)
    return result


@contextlib.contextmanager
def _one_after_the_other(folder: StudyFolder) -> Iterator[None]:
    """Within, no other process on the study concludes: what the first one has found must not replace the last one's."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the report matters more
            stack.enter_context(locked(folder.path / ".concluding", wait=True, required=False))
        yield


@contextlib.contextmanager
def _kept_apart(what: str) -> Iterator[None]:
    """Within, a failure costs one warning and that part of the result: the report must not be lost with it."""
    try:
        yield
    except StorageError:  # what the study found is in its storage, whatever the disk does
        pass
    except Exception as error:
        print_line(f"warning: {what} could not be written: {' '.join(without_secrets(reason(error)).split())}")


def _write_best(search: SearchPlan, study: Study, best: TrialRecord) -> None:
    """Writes `best.py`, or none if a function cannot be named: the file would be another experiment."""
    try:
        text = _best_text(search, study, best)
        compile(text, "best.py", "exec")
    except Exception as error:  # whatever a value of the user's does if it is compared or written
        why = (
            getattr(error, "what", error) if isinstance(error, (CannotBeWrittenError, HarnessError)) else reason(error)
        )
        print_line(f"warning: there is no best.py: {why}")
        with contextlib.suppress(OSError):
            (search.folder.path / "best.py").unlink(missing_ok=True)
        return
    with _kept_apart("best.py"):
        search.folder.write("best.py", text.encode())


def _best_text(search: SearchPlan, study: Study, best: TrialRecord) -> str:
    """The text of `best.py`. Raises whatever the search space raises if the file asks it."""
    about = f"the best of study {study.name}, trial {best.index} of {search.total}: {best.accuracy}"
    used = best.attributes.get("threads")
    threads = used if best.attributes.get("device") == "cpu" and used != torch.get_num_threads() else None
    parameters = {**search.space.held, **best.optuna_trial.params}
    text = best_file(search.file, experiment_of(search, best), about, parameters, best.number, threads)
    if "best_values = " in text:
        with quiet():
            search.space.function(fixed_trial(parameters, best.number))  # as the file does
    return text


def experiment_of(search: SearchPlan, trial: TrialRecord) -> Experiment:
    """The experiment of a trial as it was trained, by what it says that it changed.

    Of a function only the name is kept; the function itself is the one that the space has for those parameters.
    """
    fresh: dict[str, Any] = {}
    if any(
        not is_literal(getattr(search.experiment, name, None)) or _is_name(value)
        for name, value in trial.changes.items()
    ):
        with contextlib.suppress(Exception), quiet():  # the space may be another one by now
            fresh = search.space.changes(fixed_trial(trial.optuna_trial.params, trial.number))
    changes = trial.changes
    same = {name: value for name, value in fresh.items() if is_same_name(changes.get(name), json_value(value))}
    return search.experiment.replace(**{**changes, **same})


def _is_name(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and ":" in value)
