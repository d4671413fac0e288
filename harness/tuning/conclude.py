"""Ends a search: its result goes to the study's folder and to MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import optuna
import torch

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.errors import HarnessError, StorageError
from harness.runs.record_parts import Status, StudyResultRecord
from harness.runs.run_folder import COMPLETE
from harness.trackers.follower import Follower
from harness.trackers.mlflow.store import recorded, tracking_uri
from harness.tuning.best_file import CannotBeWrittenError, best_file, is_literal
from harness.tuning.pictures import draw_study
from harness.tuning.result import StudyResult, summarise_study, write_trials
from harness.tuning.search_plan import SearchPlan
from harness.tuning.space import quiet
from harness.tuning.study import Study
from harness.tuning.trial_record import TrialRecord
from harness.util.addresses import without_secrets
from harness.util.console import print_line
from harness.util.schema import parse, schema_of


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
    try:
        yield
    finally:
        problem = follower.finish() if follower is not None else "its process could not be started"
        search.folder.update(mlflow=problem or COMPLETE)


def conclude_search(
    search: SearchPlan, study: Study, status: Status, error: BaseException | None = None
) -> StudyResult:
    """Summarises the study as it is now; writes its table, its plots and `best.py`."""
    result = summarise_study(search, study)
    why = None if error is None else f"{type(error).__name__}: {getattr(error, 'what', error)}".rstrip(": ")
    why = None if why is None else without_secrets(why, study.address)
    with contextlib.suppress(StorageError):  # what the study found is in its storage, whatever the disk does
        search.folder.update(status=status, error=why, result=parse(schema_of(StudyResultRecord), result.to_dict()))
        write_trials(search.folder.path / "trials.csv", result)
        search.folder.write("experiment.py", search.file.code)
        if result.best is not None:
            _write_best(search, study, result.best)
        draw_study(search.folder.plots, search, study, result)
    return result


def _write_best(search: SearchPlan, study: Study, best: TrialRecord) -> None:
    """Writes `best.py`, or none if a function cannot be named: the file would be another experiment."""
    try:
        search.folder.write("best.py", _best_text(search, study, best).encode())
    except (CannotBeWrittenError, HarnessError) as error:
        (search.folder.path / "best.py").unlink(missing_ok=True)
        print_line(f"warning: there is no best.py: {getattr(error, 'what', error)}")


def _best_text(search: SearchPlan, study: Study, best: TrialRecord) -> str:
    text = f"the best of study {study.name}, trial {best.index} of {search.total}: {best.accuracy}"
    used = best.attributes.get("threads")
    threads = used if best.attributes.get("device") == "cpu" and used != torch.get_num_threads() else None
    return best_file(search.file, experiment_of(search, best), text, best.optuna_trial.params, threads)


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
            fresh = search.space.changes(optuna.trial.FixedTrial(trial.optuna_trial.params))
    same = {name: value for name, value in fresh.items() if json_value(value) == trial.changes.get(name)}
    return search.experiment.replace(**{**trial.changes, **same})


def _is_name(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and ":" in value)
