"""The models of all folds of a run as one: their mean probabilities, beside those of one model, with the cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import Comparison, compare
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import log_loss
from harness.models.saved import SavedModel, load_model
from harness.runs.find import find_run
from harness.runs.scores_record import EnsembleRecord
from harness.workflows.experiment_copy import model_function


@dataclass(frozen=True)
class Ensemble:
    """What the mean of several models predicts.

    Attributes:
        models: Their number.
        predictions: Of the mean probabilities.
        comparison: The ensemble beside the one model, on the same images.
        cost: Seconds that it takes, in units of those that the one model takes.
    """

    models: int
    predictions: Predictions
    comparison: Comparison
    cost: float

    @property
    def record(self) -> EnsembleRecord:
        """The numbers, as `run.json` has them."""
        accuracy, found = self.predictions.accuracy, self.predictions
        return EnsembleRecord(
            models=self.models,
            accuracy=accuracy.value,
            interval=list(accuracy.interval),
            log_loss=log_loss(found.labels, found.probabilities),
            better=self.comparison.better,
            worse=self.comparison.worse,
            p=self.comparison.p,
            cost=round(self.cost, 2),
        )

    def __str__(self) -> str:
        found = self.comparison
        differs = "a significant difference" if found.p < SIGNIFICANCE else "no significant difference"
        return (
            f"{self.models} models: {self.predictions.accuracy}; {differs} from the one model (p {found.p:.2g}: "
            f"right where it is wrong on {found.better}, wrong where it is right on {found.worse}); it takes "
            f"{self.cost:.1f} times as long"
        )


def fold_models(named: str, runs: Path, trusted: bool = False) -> list[SavedModel]:
    """The models of all folds of a run. Raises UsageError if it has fewer than two."""
    folder = find_run(named, runs)
    paths = [folder.checkpoint_of(entry) for entry in folder.record.folds]
    paths = [path for path in paths if path.is_file()]
    if len(paths) < 2:
        removed = ", since harness runs has removed models" if folder.record.models_removed else ""
        why = f"it has {len(paths)} fold models{removed}"
        raise UsageError(f"{folder.path} has no ensemble", why, "a run of two folds or more")
    return [load_model(path, function=model_function(path, trusted)) for path in paths]


def judge_ensemble(
    models: Sequence[SavedModel], predict: Callable[[SavedModel], Predictions], single: Predictions, seconds: float
) -> Ensemble:
    """Predicts with each model, and compares their mean with the predictions of one model, which took `seconds`."""
    started = time.perf_counter()
    parts = [predict(model) for model in models]
    cost = (time.perf_counter() - started) / max(seconds, 1e-9)
    mean = np.mean([part.probabilities for part in parts], axis=0)
    found = Predictions(
        single.classes, single.paths, single.folds, single.labels, mean, single.groups, single.fingerprints
    )
    return Ensemble(len(models), found, compare(found, single), cost)
