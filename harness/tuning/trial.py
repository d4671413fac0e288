"""One trial: an experiment with changes, cross-validated fold by fold for as long as it can still win."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.config.experiment import Experiment
from harness.config.fields import plain
from harness.engine.trainer import Callback, State
from harness.errors import UsageError
from harness.runs.record_parts import Status, TrialOf
from harness.runs.run_folder import RunFolder
from harness.trackers.kept import kept
from harness.trackers.tensorboard.run import event_files
from harness.training.plan import Plan
from harness.tuning.job import Job
from harness.tuning.pruning import CHANCE, chance_to_win, chance_within_fold
from harness.tuning.records import ACCURACY, FoldRecord, TrialRecord, loop_seconds, pooled
from harness.tuning.space import quiet
from harness.tuning.study import Claim, Study
from harness.util.addresses import without_secrets
from harness.util.files import write_whole
from harness.workflows.crossval import finished_folds, fold_by_fold, record_of

PRUNED = "pruned "  # how the reason begins for which such a fold was ended early


class Paused(KeyboardInterrupt):
    """A fold has ended, and the person has asked to stop."""


def run_trial(
    job: Job, study: Study, claim: Claim, stops: Callable[[], bool], shows: Callable[[int], Sequence[Callback]]
) -> None:
    """Trains the claimed trial, keeps each fold in the study's storage, and ends the trial there: complete, or pruned.

    Raises Paused where `stops` says so after a fold, and whatever a fold raises.
    """
    experiment = _experiment(job, claim)
    plan = job.plan_of(experiment)
    changes = {name: plain(value) for name, value in changes_of(job, experiment).items()}
    about = {"trial": claim.place, "kind": job.kind_of(plan), "changes": changes, "device": str(plan.device)}
    about["threads"] = torch.get_num_threads()
    for name, value in about.items():
        study.note(claim.record, name, value)
    folder = _folder(job, plan, claim)
    judge = Judge(job, study, plan)
    with kept(folder, [name for name in job.trackers if name == "tensorboard"], pictures=False) as tracking:
        for found in fold_by_fold(plan, folder, tracking, lambda fold: [*judge.within(fold), *shows(fold)]):
            record = FoldRecord.of(found.results[-1], job.metric)
            judge.folds.append(record)
            study.note(claim.record, f"fold{record.fold}", record.to_plain())
            if not job.pareto:
                study.report(claim, pooled(judge.folds), len(judge.folds))
            why = judge.why_stop(found.results[-1].stop_reason)
            if why:
                tracking.status = Status.PRUNED
                folder.update(pruned=why)
                break
            if stops() and len(judge.folds) < len(plan.splits):
                raise Paused
    if why:
        study.prune(claim.record, why)
        return
    values = [pooled(judge.folds)]
    study.complete(claim.record, [*values, loop_seconds(judge.folds)] if job.pareto else values)


class Judge:
    """Compares one trial with the best that is complete."""

    def __init__(self, job: Job, study: Study, plan: Plan) -> None:
        self.folds: list[FoldRecord] = []  # of this trial
        self._job = job
        self._plan = plan
        self._sizes = {fold: len(split.valid) for fold, split in plan.splits.items()}
        self._others = study.trials() if job.prunes else []
        self._best = study.best(self._others)

    def why_stop(self, stop_reason: str | None) -> str:
        """Why the trial is to end after the folds so far; nothing where it can still win, or has ended anyway.

        `stop_reason` is that of the last fold.
        """
        if stop_reason and stop_reason.startswith(PRUNED):
            return stop_reason.removeprefix(PRUNED)
        left = sum(self._sizes.values()) - sum(fold.n for fold in self.folds)
        if self._best is None or left == 0:
            return ""
        chance = chance_to_win(self._differences(self._best), left)
        count = len(self.folds)
        return f"after fold {count}: {self._said(chance, self._best)}" if chance < CHANCE else ""

    def within(self, fold: int) -> list[Callback]:
        """Callbacks that may end a fold early, where an epoch takes long enough for that to matter."""
        worth = self._best is not None and self._job.metric == ACCURACY and not self._plan.once
        return [_StopHopeless(self, fold)] if worth else []

    def epoch_ended(self, fold: int, state: State) -> None:
        if state.epoch == state.epochs or self._best is None:
            return
        best = next(kept for kept in self._best.folds if kept.fold == fold)
        curves = [
            kept.curve
            for other in self._others
            if other.changes.get("epochs", self._job.experiment.epochs) == state.epochs
            for kept in other.folds
        ]
        accuracy = max(row["valid_accuracy"] for row in state.history)
        left = sum(self._sizes.values()) - sum(kept.n for kept in self.folds) - best.n
        chance = chance_within_fold(self._differences(self._best), accuracy, state.epoch, best.scores, left, curves)
        if chance < CHANCE:
            state.stop(f"{PRUNED}in fold {fold}, after epoch {state.epoch}: {self._said(chance, self._best)}")

    def _differences(self, best: TrialRecord) -> Any:
        """(n,) scores of this trial less those of the best, over the images of the folds so far."""
        theirs = {kept.fold: kept for kept in best.folds}
        return np.concatenate([np.zeros(0), *(own.scores - theirs[own.fold].scores for own in self.folds)])

    @staticmethod
    def _said(chance: float, best: TrialRecord) -> str:
        return f"its chance to beat trial {best.place} is {'below 0.1' if chance < 0.001 else f'{100 * chance:.1f}'} %"


class _StopHopeless(Callback):
    def __init__(self, judge: Judge, fold: int) -> None:
        self._judge = judge
        self._fold = fold

    def on_epoch_end(self, state: State) -> None:
        self._judge.epoch_ended(self._fold, state)


def changes_of(job: Job, experiment: Experiment) -> dict[str, Any]:
    """Field -> value, where a trial differs from the experiment as written."""
    names = [item.name for item in dataclasses.fields(experiment)]
    pairs = ((name, getattr(experiment, name), getattr(job.experiment, name)) for name in names)
    return {name: value for name, value, written in pairs if value != written}


def keep_error(folder: Path, error: BaseException) -> None:
    """The whole traceback of what failed a trial, as `error.txt` in its folder."""
    text = without_secrets("".join(traceback.format_exception(error)))
    write_whole(folder / "error.txt", text.encode("utf-8", "replace"))


def _experiment(job: Job, claim: Claim) -> Experiment:
    """The first trial is the experiment as written, whatever the space is."""
    if claim.place == 0:
        job.space.written(claim.trial, job.distributions)
        return job.experiment
    with quiet():
        return job.experiment.replace(**job.space.changes(claim.trial))


def _folder(job: Job, plan: Plan, claim: Claim) -> RunFolder:
    """The trial's run folder; with what its finished folds left, where it was cut off on this machine."""
    path = job.folder.trial(claim.place)
    assert job.folder.record.id is not None
    study = TrialOf(job.folder.record.name, job.folder.record.id, claim.place)
    try:
        folder = RunFolder.open(path)
        same = folder.record.experiment == plan.experiment.to_dict() and folder.record.study == study
        if same and folder.record.data.digest == plan.digest:
            whole = {result.fold for result in finished_folds(plan, folder)}
            folder.update(folds=[entry for entry in folder.record.folds if entry.fold in whole])
            folder.begin_again()
            for old in event_files(path):  # they are written again, from what is kept
                old.unlink()
            return folder
    except (UsageError, KeyError):
        pass
    for old in event_files(path):
        old.unlink()
    record = dataclasses.replace(record_of(plan), study=study, title=f"trial {claim.place}")
    folder = RunFolder.create(path.parent, record, path)
    folder.keep_copy(job.source)
    return folder
