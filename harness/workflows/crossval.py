"""Cross-validates a plan: trains its folds in one run, and joins their out-of-fold predictions."""

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
from harness.util.text import short_repr
from harness.workflows.finished_folds import finished_folds
from harness.workflows.make_plan import make_plan
from harness.workflows.new_record import OF_THE_PLAN, record_of
from harness.workflows.without_near_copies import without_near_copies


@dataclass(frozen=True)
class Resume:
    """An interrupted run, and how it continues."""

    folder: RunFolder
    record: ResumeRecord
    drops_state: bool = False  # the saved state is of other images, so the fold starts again


@dataclass(frozen=True)
class CrossValidation:
    """The result of a run: each image is predicted by a model that was not trained on it.

    Attributes:
        experiment: The settings of the run.
        run_dir: The run folder.
        results: One result for each fold, and with `repeats` for each fold of each repeat.
        classes: The class names; a label is an index into them.
        leaked: Number of validation images that are also in the training set.
        near_copies: Paths of the validation images with a near copy in the training set of their fold.

    """

    experiment: Experiment
    run_dir: Path
    results: tuple[FoldResult, ...]
    classes: tuple[str, ...]
    leaked: int = 0
    near_copies: frozenset[str] = frozenset()

    @cached_property
    def predictions(self) -> Predictions:
        """The out-of-fold predictions, one for each validation image (with `repeats`, one for each repeat)."""
        return Predictions.join([result.predictions for result in self.results])

    @property
    def accuracy(self) -> Accuracy:
        """The accuracy over all out-of-fold predictions, so that each image counts the same in folds of any size."""
        return self.predictions.accuracy

    @property
    def by_repeat(self) -> list[float]:
        """The accuracy of each repeat, over all its folds."""
        folds = self.experiment.folds
        numbers = [fold_and_repeat(result.fold, folds)[1] for result in self.results]
        parts = [
            [r for r, n in zip(self.results, numbers, strict=True) if n == number] for number in sorted({*numbers})
        ]
        return [Predictions.join([result.predictions for result in part]).right.mean().item() for part in parts]

    @property
    def baseline(self) -> float:
        """The accuracy of always predicting the most frequent class."""
        counts = np.bincount(self.predictions.labels)
        return int(counts.max()) / int(counts.sum())

    @property
    def best_on_curves(self) -> float:
        """The mean accuracy of each fold's best epoch. It is too good, because validation images choose the epoch."""
        best = [max(row["valid_accuracy"] for row in result.history) * result.accuracy.n for result in self.results]
        return sum(best) / sum(result.accuracy.n for result in self.results)

    @property
    def fit_seconds(self) -> float:
        """The training time of all folds, in seconds."""
        return sum(result.seconds for result in self.results)

    @cached_property
    def scores(self) -> Scorecard:
        """All metrics except the accuracy. Each fold is calibrated with the temperature fitted on the other folds."""
        pooled = self.predictions
        after = cross_fitted(pooled.labels, pooled.probabilities, pooled.folds, pooled.groups)
        temperature = fit_temperature(pooled.labels, pooled.probabilities)
        own = chosen_metrics(self.experiment, len(pooled.classes))
        return scorecard(pooled, pooled.probabilities, after, temperature, own)

    @property
    def noise(self) -> NoiseRecord | None:
        """The variation of the accuracy between seeds; None if each fold was trained once."""
        repeats = self.experiment.repeats
        if repeats == 1:
            return None
        table = np.full((max(1, self.experiment.folds), repeats), np.nan)
        for result in self.results:
            fold, repeat = fold_and_repeat(result.fold, self.experiment.folds)
            table[fold - 1, repeat - 1] = result.accuracy.value
        between_seeds = seed_noise(table)
        return NoiseRecord(
            repeats=self.by_repeat,
            deviation=between_repeats(np.array(self.by_repeat)).deviation,
            of_a_model=None if between_seeds is None else between_seeds.deviation,
            interval=None if between_seeds is None else between_seeds.interval,
        )

    def all_numbers(self) -> dict[str, Any]:
        """All numbers over all folds, under the names of the fields of `RunRecord`."""
        return self.numbers() | scorecard_fields(self.scores) | {"noise": self.noise}

    def numbers(self) -> dict[str, Any]:
        """The accuracy over all folds, with its interval and related numbers."""
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

    def __repr__(self) -> str:
        return short_repr(self, f"{str(self.run_dir)!r}: accuracy {self.accuracy}; {len(self.results)} folds")

    def to_dict(self) -> dict[str, Any]:
        """The numbers over all folds and of each fold, as plain values for `--json` and `metrics.json`."""
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
    """Trains and evaluates each fold of an experiment, one after the other, and writes the run folder.

    The run folder is updated after each epoch and fold. If the run ends early, the folder says why, and keeps the
    results of the finished folds.

    Args:
        experiment: The experiment, or the plan that `make_plan` made of it.
        runs: The folder in which the new run folder is created.
        source: The experiment's file. The run folder gets a copy, because a checkpoint contains no functions.
        follower: The process that sends the run to MLflow, if it is already started.
        out: The run folder to write, instead of a new one in `runs`. It replaces a run that is there.
        refit: Whether to train one more model, on all images: the model to use.
        resume: An interrupted run, which continues in its own folder.

    Returns:
        The results of all folds.

    Raises:
        DataError: The images are missing, cannot be decoded, or leak from one split to another.
        UsageError: A setting is wrong.
        TrainingError: The loss is not finite, or the memory is full.
        StorageError: The run folder cannot be written.

    Example:
        >>> import harness
        >>> crossval = harness.cross_validate(harness.load("experiments/quickstart.py"))
        >>> len(crossval.results)
        2
        >>> 0 <= crossval.accuracy.value <= 1
        True
        >>> (crossval.run_dir / "predictions.csv").is_file()
        True
    """
    plan = experiment if isinstance(experiment, Plan) else make_plan(experiment)
    if resume is None:
        folder = RunFolder.create(Path(runs), dataclasses.replace(record_of(plan), asked=_asked(refit)), out)
    else:
        folder = resume.folder
        claim(folder)
        if resume.drops_state:  # only after `claim`: before it, another process could resume from this state
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


def _asked(refit: bool) -> dict[str, Any]:
    """The options of the command line that are not fields of the experiment."""
    return {"refit": True} if refit else {}


def go_on(plan: Plan, folder: RunFolder, record: ResumeRecord) -> None:
    """Prepares the folder of an interrupted run: incomplete folds are trained again."""
    if record.forced:
        new = record_of(plan)
        folder.update(**{name: getattr(new, name) for name in OF_THE_PLAN})
    whole = {result.fold: result for result in finished_folds(plan, folder)}
    for entry in folder.record.folds:
        if entry.fold not in whole:
            print_line(
                f"warning: fold {entry.fold} is trained again, because its checkpoint or predictions are incomplete"
            )
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
    """Yields the result so far after each fold. A fold that is complete in the folder is not trained again.

    `ends` returns the last callbacks of a fold; the default is a progress bar.
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
