"""Ends a search: writes its result to the study's folder and to MLflow."""

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
    """During this block, a process sends the study to MLflow, if the experiment uses that tracker."""
    if "mlflow" not in search.trackers:
        yield
        return
    search.folder.update(**recorded(tracking_uri()), mlflow=None)
    try:
        follower = follower or Follower()
        follower.begin(search.folder)
    except OSError as error:
        print_line(f"warning: mlflow has failed ({error}); the study continues, and its folder is complete")
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
    """Summarises the study so far, and writes its table, its plots, its report and `best.py`."""
    why = None if error is None else f"{type(error).__name__}: {getattr(error, 'what', error)}".rstrip(": ")
    why = None if why is None else without_secrets(why, study.address)
    with _concluding_alone(search.folder):
        return _concluded(search, study, status, why)


def _concluded(search: SearchPlan, study: Study, status: Status, why: str | None) -> StudyResult:
    result, folder = summarise_study(search, study), search.folder
    with _warning_instead_of_error("the result in study.json"):
        folder.update(status=status, error=why)
        folder.update(result=parse(schema_of(StudyResultRecord), result.to_dict()))
    with _warning_instead_of_error("trials.csv"):
        write_trials(folder.path / "trials.csv", result)
    with _warning_instead_of_error("experiment.py"):
        folder.write("experiment.py", search.file.code)
    if result.best is not None:
        _write_best(search, study, result.best)
    with _warning_instead_of_error("plots"):
        draw_study(folder.plots, search, study, result)
    with _warning_instead_of_error("report.html"):
        from harness.report.write import write_study_report  # the template library can wait

        write_study_report(folder)
    return result


@contextlib.contextmanager
def _concluding_alone(folder: StudyFolder) -> Iterator[None]:
    """In this block, no other process concludes the study, so an older result cannot replace a newer one."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the report matters more
            stack.enter_context(locked(folder.path / ".concluding", wait=True, required=False))
        yield


@contextlib.contextmanager
def _warning_instead_of_error(what: str) -> Iterator[None]:
    """In this block, an error only prints a warning, so that the other parts of the result are still written."""
    try:
        yield
    except StorageError:  # the disk is full, but the study's storage has the trials
        pass
    except Exception as error:
        print_line(f"warning: {what} could not be written: {' '.join(without_secrets(reason(error)).split())}")


def _write_best(search: SearchPlan, study: Study, best: TrialRecord) -> None:
    """Writes `best.py`. Removes it if a function has no name, because the file would define another experiment."""
    try:
        text = _best_text(search, study, best)
        compile(text, "best.py", "exec")
    except Exception as error:  # comparing or writing the user's values may raise anything
        why = (
            getattr(error, "what", error) if isinstance(error, (CannotBeWrittenError, HarnessError)) else reason(error)
        )
        print_line(f"warning: best.py could not be written: {why}")
        with contextlib.suppress(OSError):
            (search.folder.path / "best.py").unlink(missing_ok=True)
        return
    with _warning_instead_of_error("best.py"):
        search.folder.write("best.py", text.encode())


def _best_text(search: SearchPlan, study: Study, best: TrialRecord) -> str:
    """The text of `best.py`. If that calls the search space, calls it as well, and raises its errors."""
    about = f"the best of study {study.name}, trial {best.index} of {search.total}: {best.accuracy}"
    used = best.attributes.get("threads")
    threads = used if best.attributes.get("device") == "cpu" and used != torch.get_num_threads() else None
    parameters = {**search.space.held, **best.optuna_trial.params}
    text = best_file(search.file, experiment_of(search, best), about, parameters, best.number, threads)
    if "best_values = " in text:
        with quiet():
            search.space.function(fixed_trial(parameters, best.number))  # `best.py` makes the same call
    return text


def experiment_of(search: SearchPlan, trial: TrialRecord) -> Experiment:
    """The experiment of a trial, made from the changes in its record.

    The record has only the names of functions. The functions come from the search space, called with the parameters.
    """
    fresh: dict[str, Any] = {}
    if any(
        not is_literal(getattr(search.experiment, name, None)) or _is_name(value)
        for name, value in trial.changes.items()
    ):
        with contextlib.suppress(Exception), quiet():  # the space may have changed
            fresh = search.space.changes(fixed_trial(trial.optuna_trial.params, trial.number))
    changes = trial.changes
    same = {name: value for name, value in fresh.items() if is_same_name(changes.get(name), json_value(value))}
    return search.experiment.replace(**{**changes, **same})


def _is_name(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and ":" in value)
