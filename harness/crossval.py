"""Folds in, one `Result` per fold and the out-of-fold predictions out: one run that contains its folds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import provenance
from harness.callbacks import EpochLog
from harness.evaluate import Accuracy, Prediction, mean_and_deviation, measure
from harness.experiment import Experiment
from harness.plan import Plan, make_plan
from harness.run import Result, train
from harness.trackers.follower import Follower
from harness.trackers.kept import kept
from harness.trackers.pictures import draw_fold
from harness.trackers.run_folder import RunFolder


@dataclass(frozen=True)
class CrossValidation:
    """What a run found. Each image was predicted by a model that had not been trained on it."""

    experiment: Experiment
    run_dir: Path
    results: tuple[Result, ...]
    classes: tuple[str, ...]

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """Out-of-fold: every validation image once."""
        return tuple(prediction for result in self.results for prediction in result.predictions)

    @property
    def accuracy(self) -> Accuracy:
        """Pooled over all out-of-fold predictions, so that folds of unequal size count by their images."""
        return measure(self.predictions)

    @property
    def baseline(self) -> float:
        """The accuracy of always naming the most frequent class."""
        counted = Counter(prediction.label for prediction in self.predictions)
        return max(counted.values()) / counted.total()

    @property
    def fit_seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, for `--json` and `run.json`."""
        accuracy = self.accuracy
        mean, deviation = mean_and_deviation([result.accuracy.value for result in self.results])
        return {
            "accuracy": accuracy.value,
            "interval": list(accuracy.interval),
            "n": accuracy.n,
            "loss": sum(result.loss * result.accuracy.n for result in self.results) / accuracy.n,
            "baseline": self.baseline,
            "mean": mean,
            "deviation": deviation,
            "folds": [result.to_dict() for result in self.results],
            "fit_seconds": round(self.fit_seconds, 3),
        }


def cross_validate(
    experiment: Experiment | Plan,
    *,
    runs: Path | str = "runs",
    source: Path | None = None,
    follower: Follower | None = None,
) -> CrossValidation:
    """Trains each fold of the plan, one after the other, and writes the run folder as it goes.

    Whatever ends the run early, the folder says so, and keeps what the finished folds gave. `source` is the
    experiment's file, of which the folder gets a copy: what is a function in it is in no checkpoint. `follower` is a
    process for MLflow that was started while the plan was made.
    """
    plan = experiment if isinstance(experiment, Plan) else make_plan(experiment)
    folder = RunFolder.create(Path(runs), plan.experiment.name or "experiment", _record(plan))
    results: list[Result] = []
    with kept(folder, plan.experiment.trackers, follower) as tracking:
        if source is not None:
            folder.keep_copy(source)
        for fold, split in plan.splits.items():
            log = EpochLog(folder.metrics, fold)
            result = train(
                plan.experiment,
                plan.images,
                split,
                checkpoints=folder.checkpoints,
                fold=fold,
                title=f"fold {fold}/{plan.experiment.folds}" if plan.experiment.folds else "hold-out",
                logs=[log],
                shows=[tracking.callback(log)],
                plots=folder.plots,
                device=plan.device,
                data_digest=plan.digest,
                pixels=plan.pixels,
                cache=plan.cache,
            )
            results.append(result)
            found = CrossValidation(plan.experiment, folder.path, tuple(results), plan.images.classes)
            folder.write_predictions(found.predictions, found.classes)
            folder.update(**found.to_dict())
            draw_fold(folder, fold)
            tracking.fold_ended(fold)
    return found


def _record(plan: Plan) -> dict[str, Any]:
    experiment = plan.experiment
    fields = [item.name for item in dataclasses.fields(experiment)]
    return {
        "command": provenance.command(),
        "fast_dev_run": plan.fast_dev_run,
        "experiment": experiment.to_dict(),
        "origins": {name: experiment.origin(name) for name in fields},
        "git": provenance.git_state(),
        "data": plan.data_record(),
        "weights": plan.weights,
        "parameters": {"trainable": plan.trainable, "frozen": plan.frozen},
        "frozen_part": "run once per image" if plan.once else "run in every epoch" if plan.frozen else None,
        "device": str(plan.device),
        "precision": dataclasses.asdict(plan.precision),
        "seed": experiment.seed,
        "splits": {fold: {"train": len(s.train), "valid": len(s.valid)} for fold, s in plan.splits.items()},
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "notes": list(plan.notes),
    }
