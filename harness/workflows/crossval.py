"""Cross-validates a plan: one run that contains its folds, with one `FoldResult` each and out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile
from harness.engine import checkpoint
from harness.engine.callbacks import EpochLog
from harness.engine.trainer import Callback
from harness.errors import ModelError
from harness.evaluation.accuracy import Accuracy, mean_and_deviation
from harness.evaluation.noise import between_repeats, seed_noise
from harness.evaluation.predictions import Predictions
from harness.evaluation.scorecard import Scorecard, scorecard
from harness.evaluation.temperature import cross_fitted, fit_temperature
from harness.runs.record_file import to_plain
from harness.runs.record_parts import ResumeRecord
from harness.runs.run_folder import RunFolder
from harness.runs.scores_record import NoiseRecord, scorecard_fields
from harness.runs.unfinished import begin_again, claim
from harness.trackers.follower import Follower
from harness.trackers.pictures import draw_fold
from harness.trackers.recording import recording
from harness.trackers.tracking import Tracking
from harness.training.epoch_metrics import chosen_metrics
from harness.training.fit import FoldResult, train
from harness.training.plan import Plan
from harness.training.refit import refit as train_on_all_images
from harness.training.repeats import fold_and_repeat
from harness.training.saved_fit import saved_progress
from harness.util.console import print_line
from harness.workflows.make_plan import make_plan
from harness.workflows.new_record import OF_THE_PLAN, record_of
from harness.workflows.without_near_copies import without_near_copies


@dataclass(frozen=True)
class Resume:
    """A run that was cut off, and how it goes on."""

    folder: RunFolder
    record: ResumeRecord
    drops_state: bool = False  # whether the saved state is of other images, so that the fold begins again


ADDED_BY_EPOCH_LOG = {"fold", "time", "step"}  # columns of `metrics.jsonl` that the history does not have


@dataclass(frozen=True)
class CrossValidation:
    """What a run found. Each image was predicted by a model that had not been trained on it."""

    experiment: Experiment
    run_dir: Path
    results: tuple[FoldResult, ...]
    classes: tuple[str, ...]
    leaked: int = 0  # validation images that are also trained on
    near_copies: frozenset[str] = frozenset()  # paths of validation images with a near copy in their training part

    @cached_property
    def predictions(self) -> Predictions:
        """Every validation image once, out of fold."""
        return Predictions.join([result.predictions for result in self.results])

    @property
    def accuracy(self) -> Accuracy:
        """Pooled over all out-of-fold predictions, so that folds of unequal size count by their images."""
        return self.predictions.accuracy

    @property
    def by_repeat(self) -> list[float]:
        """The accuracy of each repeat, over its folds."""
        folds = self.experiment.folds
        numbers = [fold_and_repeat(result.fold, folds)[1] for result in self.results]
        parts = [
            [r for r, n in zip(self.results, numbers, strict=True) if n == number] for number in sorted({*numbers})
        ]
        return [Predictions.join([result.predictions for result in part]).right.mean().item() for part in parts]

    @property
    def baseline(self) -> float:
        """The accuracy of always naming the most frequent class."""
        counts = np.bincount(self.predictions.labels)
        return int(counts.max()) / int(counts.sum())

    @property
    def best_on_curves(self) -> float:
        """The accuracy of the best epochs of the validation curves. It is too good, because it chooses them."""
        best = [max(row["valid_accuracy"] for row in result.history) * result.accuracy.n for result in self.results]
        return sum(best) / sum(result.accuracy.n for result in self.results)

    @property
    def fit_seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    @cached_property
    def scores(self) -> Scorecard:
        """All numbers but the accuracy. Each fold is scaled by the temperature that the other folds give."""
        found = self.predictions
        after = cross_fitted(found.labels, found.probabilities, found.folds, found.groups)
        temperature = fit_temperature(found.labels, found.probabilities)
        own = chosen_metrics(self.experiment, len(found.classes))
        return scorecard(found, found.probabilities, after, temperature, own)

    @property
    def noise(self) -> NoiseRecord | None:
        """How much the accuracy varies with the seed; None if each fold was trained once."""
        repeats = self.experiment.repeats
        if repeats == 1:
            return None
        table = np.full((max(1, self.experiment.folds), repeats), np.nan)
        for result in self.results:
            fold, repeat = fold_and_repeat(result.fold, self.experiment.folds)
            table[fold - 1, repeat - 1] = result.accuracy.value
        found = seed_noise(table)
        return NoiseRecord(
            repeats=self.by_repeat,
            deviation=between_repeats(np.array(self.by_repeat)).deviation,
            of_a_model=None if found is None else found.deviation,
            interval=None if found is None else found.interval,
        )

    def all_numbers(self) -> dict[str, Any]:
        """All numbers over all folds, by the fields of `RunRecord`."""
        return self.numbers() | scorecard_fields(self.scores) | {"noise": self.noise}

    def numbers(self) -> dict[str, Any]:
        """The accuracy over all folds, and what belongs to it."""
        accuracy = self.accuracy
        mean, deviation = mean_and_deviation([result.accuracy.value for result in self.results])
        return {
            "accuracy": accuracy.value,
            "interval": list(accuracy.interval),
            "n": accuracy.n,
            "groups": accuracy.groups,
            "leaked": self.leaked,
            "near_copies": without_near_copies(self.predictions, self.near_copies, self.leaked > 0),
            "loss": sum(r.loss * r.accuracy.n for r in self.results) / sum(r.accuracy.n for r in self.results),
            "baseline": self.baseline,
            "mean": mean,
            "deviation": deviation,
            "fit_seconds": round(self.fit_seconds, 3),
        }

    def to_dict(self) -> dict[str, Any]:
        """The numbers over all folds and of each, for `--json` and `metrics.json`."""
        plain: dict[str, Any] = to_plain(self.all_numbers())
        return plain | {"folds": [dataclasses.asdict(result.record) for result in self.results]}


def cross_validate(
    experiment: Experiment | Plan,
    *,
    runs: Path | str = "runs",
    source: ExperimentFile | Path | None = None,
    follower: Follower | None = None,
    out: Path | None = None,
    refit: bool = False,
    resume: Resume | None = None,
) -> CrossValidation:
    """Trains each fold of the plan, one after the other, and writes the run folder as it goes.

    Whatever ends the run early, the folder says so, and keeps what the finished folds gave. The folder gets a copy of
    `source`, the experiment's file, because checkpoints do not contain the user's functions. `follower` is a process
    for MLflow that was started while the plan was made. The run goes to the folder `out`, if one is given, in the place
    of the run that is there; else to a new one. `refit` also trains one model on all images: the model to use. With
    `resume`, a run that was cut off goes on in its own folder.
    """
    plan = experiment if isinstance(experiment, Plan) else make_plan(experiment)
    if resume is None:
        folder = RunFolder.create(Path(runs), dataclasses.replace(record_of(plan), asked=_asked(refit)), out)
    else:
        folder = resume.folder
        claim(folder)
        if resume.drops_state:  # only now: until then, another process could go on from it
            folder.unfinished.unlink(missing_ok=True)
        go_on(plan, folder, resume.record)
    with recording(folder, plan.experiment.trackers, follower) as tracking:
        if source is not None:
            folder.keep_copy(source.read_bytes() if isinstance(source, Path) else source.code)
        for result in fold_by_fold(plan, folder, tracking):  # noqa: B007 - the last one is of all folds
            pass
        folder.update(**result.all_numbers())
        for each in result.results:
            checkpoint.add(each.checkpoint, temperature=result.scores.temperature)
        folder.write_metrics({name: value for name, value in result.to_dict().items() if name != "fit_seconds"})
        if refit and folder.model_on_all_images() is None:
            train_on_all_images(plan, folder)
    return result


def _is_readable(path: Path) -> bool:
    try:
        checkpoint.load(path)
    except ModelError:
        return False
    return True


def _asked(refit: bool) -> dict[str, Any]:
    """What was asked for on the command line, besides the experiment."""
    return {"refit": True} if refit else {}


def go_on(plan: Plan, folder: RunFolder, record: ResumeRecord) -> None:
    """Prepares the folder of a run that was cut off: folds that are not whole are trained again."""
    if record.forced:
        new = record_of(plan)
        folder.update(**{name: getattr(new, name) for name in OF_THE_PLAN})
    whole = {result.fold: result for result in finished_folds(plan, folder)}
    for entry in folder.record.folds:
        if entry.fold not in whole:
            print_line(f"warning: fold {entry.fold} is trained again: its checkpoint or predictions are not whole")
    folder.update(folds=[entry for entry in folder.record.folds if entry.fold in whole])
    begin_again(folder, dataclasses.replace(record, progress=saved_progress(folder)[0]))
    for result in whole.values():  # the table alone may have been left
        folder.write_predictions(result.predictions)


def fold_by_fold(
    plan: Plan,
    folder: RunFolder,
    tracking: Tracking,
    ends: Callable[[int], Sequence[Callback]] | None = None,
) -> Iterator[CrossValidation]:
    """Yields the result so far after each fold. A fold that the folder holds already is not trained again.

    `ends` gives the callbacks that come last in a fold, by default a progress bar.
    """
    done = {result.fold: result for result in finished_folds(plan, folder)}
    results: list[FoldResult] = []
    for fold in plan.splits:
        if fold in done:
            results.append(done[fold])
        else:
            log = EpochLog(folder.metrics, fold)
            last = None if ends is None else ends(fold)
            results.append(train(plan, fold, folder, [log, tracking.callback(log)], last))
            so_far = _result(plan, folder, results)
            folder.write_predictions(results[-1].predictions)
            folder.end_fit(**so_far.numbers(), folds=[result.record for result in results])
            if not plan.lean:
                draw_fold(folder, fold)
            tracking.fold_ended(fold)
        yield _result(plan, folder, results)


def _result(plan: Plan, folder: RunFolder, results: Sequence[FoldResult]) -> CrossValidation:
    near = frozenset(plan.images.paths[i] for i in plan.near_copies)
    return CrossValidation(plan.experiment, folder.path, tuple(results), plan.images.classes, plan.leaked, near)


def finished_folds(plan: Plan, folder: RunFolder) -> list[FoldResult]:
    """The results of the folds that have ended in a run of this plan, read from its folder.

    A fold is left out if anything of it is missing: an epoch, a prediction or its checkpoint.
    """
    rows, predictions = folder.epochs(), folder.predictions()
    results = []
    for entry in folder.record.folds:
        own = predictions.of_fold(entry.fold)
        history = [
            {name: value for name, value in row.items() if name not in ADDED_BY_EPOCH_LOG}
            for row in rows
            if row["fold"] == entry.fold
        ]
        valid = plan.splits[entry.fold].valid if entry.fold in plan.splits else ()
        whole = list(own.paths) == [plan.images.paths[i] for i in valid] and len(history) == entry.epochs
        if not whole or not _is_readable(folder.checkpoint_of(entry)):
            continue
        results.append(
            FoldResult(
                fold=entry.fold,
                history=tuple(history),
                epoch=entry.epoch,
                stop_reason=entry.stop_reason,
                checkpoint=folder.checkpoint_of(entry),
                predictions=own,
                seconds=entry.seconds,
            )
        )
    return results
