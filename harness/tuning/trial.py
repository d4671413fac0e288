"""Runs one trial: an experiment with changes, cross-validated fold by fold while it can still become the best."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import torch

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.engine.trainer import Callback
from harness.errors import HarnessError, UsageError
from harness.runs.record_parts import ResumeRecord, Status, TrialOf
from harness.runs.run_folder import RunFolder, now
from harness.trackers.recording import recording
from harness.trackers.tensorboard.run import event_files
from harness.training.plan import Plan
from harness.tuning.best_file import CannotBeWrittenError, best_file
from harness.tuning.pruner import TrialPruner
from harness.tuning.quiet import quiet
from harness.tuning.search_plan import SearchPlan, differences
from harness.tuning.storage import answering
from harness.tuning.study import Claim, Study, not_lost
from harness.tuning.trial_record import FoldScores, loop_seconds, pooled
from harness.util.addresses import without_secrets
from harness.util.files import write_whole
from harness.util.user_code import frame_of
from harness.workflows.crossval import fold_by_fold, go_on
from harness.workflows.new_record import record_of


class Paused(KeyboardInterrupt):
    """A fold has ended, and the user has asked to stop."""


def run_trial(
    search: SearchPlan,
    study: Study,
    claim: Claim,
    stops: Callable[[], bool],
    shows: Callable[[int], Sequence[Callback]],
) -> None:
    """Trains a trial, stores each fold in the study's storage, and ends the trial as complete or pruned.

    The search space and any function of the experiment may prune the trial: they raise `optuna.TrialPruned`.

    Args:
        search: The plan of the search.
        study: The study.
        claim: The trial.
        stops: Called after each fold; returns whether to stop.
        shows: Fold -> callbacks that show the progress.

    Raises:
        Paused: `stops` returned True.
        Exception: Any error of a fold.
    """
    try:
        experiment = _experiment(search, study, claim)
        plan = search.plan_of(experiment)
    except (optuna.TrialPruned, HarnessError) as error:
        study.prune(claim.record, _why_pruned(error))
        return
    changes = {name: json_value(value) for name, value in differences(experiment, search.experiment).items()}
    about = {"trial": claim.index, "kind": search.kind_of(plan), "changes": changes, "device": str(plan.device)}
    about["threads"] = torch.get_num_threads()
    for name, value in about.items():
        study.note(claim.record, name, value)
    folder = _folder(search, plan, claim)
    pruner = TrialPruner(search, study, plan)
    why = ""
    with recording(folder, [name for name in search.trackers if name == "tensorboard"], pictures=False) as tracking:
        try:
            for cross_validation in fold_by_fold(
                plan, folder, tracking, lambda fold: [*pruner.callbacks(fold), *shows(fold)]
            ):
                record = FoldScores.of(cross_validation.results[-1], search.metric, search.by_image)
                pruner.folds.append(record)
                study.note(claim.record, f"fold{record.fold}", record.to_plain())
                if not search.pareto:
                    study.report(claim, pooled(pruner.folds), len(pruner.folds))
                why = pruner.why_stop(cross_validation.results[-1].stop_reason)
                if why:
                    break
                if stops() and len(pruner.folds) < len(plan.splits):
                    raise Paused
        except HarnessError as error:
            why = _why_pruned(error)
        if why:
            tracking.status = Status.PRUNED
            folder.update(pruned=why)
    if why:
        study.prune(claim.record, why)
        return
    values = [pooled(pruner.folds)]
    study.complete(claim.record, [*values, loop_seconds(pruner.folds)] if search.pareto else values)


def keep_error(folder: Path, error: BaseException) -> None:
    """Writes the traceback of a failed trial to `error.txt` in its folder."""
    text = without_secrets("".join(traceback.format_exception(error)))
    write_whole(folder / "error.txt", text.encode("utf-8", "replace"))


def _why_pruned(error: Exception) -> str:
    """Why the user's code pruned the trial. Raises `error` again if it did not."""
    pruned = error if isinstance(error, optuna.TrialPruned) else error.__cause__
    if not isinstance(pruned, optuna.TrialPruned):
        raise error
    who = "search_space" if error is pruned else frame_of(pruned) or "the experiment"
    return f"by {who}: {' '.join(without_secrets(str(pruned)).split())}".rstrip(": ")


def _experiment(search: SearchPlan, study: Study, claim: Claim) -> Experiment:
    """The trial's experiment. Trial 0 is the experiment as written, also if it is not in the space."""
    if claim.index == 0:
        search.space.written(claim.trial, search.distributions)
        return search.experiment
    try:
        with quiet(), not_lost(claim.record):
            return search.experiment.replace(**search.space.changes(claim.trial))
    except optuna.exceptions.StorageInternalError:
        with answering(study.address):
            raise


def _folder(search: SearchPlan, plan: Plan, claim: Claim) -> RunFolder:
    """The trial's run folder. If the trial was interrupted on this machine, it keeps the finished folds."""
    path = search.folder.trial(claim.index)
    assert search.folder.record.id is not None
    study = TrialOf(search.folder.record.name, search.folder.record.id, claim.index)
    try:
        folder = RunFolder.open(path)
        same = folder.record.experiment == plan.experiment.to_dict() and folder.record.study == study
        if same and folder.record.data.digest == plan.digest:
            go_on(plan, folder, ResumeRecord(now(), folder.status))
            return folder
    except (UsageError, KeyError):
        pass
    for old in event_files(path):
        old.unlink()
    record = dataclasses.replace(record_of(plan), study=study, title=f"trial {claim.index}")
    folder = RunFolder.create(path.parent, record, path)
    folder.keep_copy(_own_file(search, plan.experiment, claim))
    return folder


def _own_file(search: SearchPlan, experiment: Experiment, claim: Claim) -> bytes:
    """The text of an experiment file for the trial's experiment; the search's file if that cannot be written."""
    if claim.index == 0:
        return search.file.code
    parameters = {**search.space.held, **claim.trial.params}
    about = f"trial {claim.index} of study {search.folder.record.name}"
    with contextlib.suppress(CannotBeWrittenError):
        return best_file(search.file, experiment, about, parameters, claim.trial.number).encode()
    return search.file.code
