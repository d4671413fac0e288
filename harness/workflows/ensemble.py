"""The ensemble of a run's fold models: predicts with their mean probabilities, and compares it with one model."""

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
    """The predictions of several models' mean probabilities.

    Attributes:
        models: Number of models.
        predictions: Of the mean probabilities.
        comparison: The ensemble compared with the single model, on the same images.
        cost: Its prediction time, as a multiple of the single model's.
    """

    models: int
    predictions: Predictions
    comparison: Comparison
    cost: float

    @property
    def record(self) -> EnsembleRecord:
        """The numbers, as `run.json` has them."""
        accuracy = self.predictions.accuracy
        return EnsembleRecord(
            models=self.models,
            accuracy=accuracy.value,
            interval=list(accuracy.interval),
            log_loss=log_loss(self.predictions.labels, self.predictions.probabilities),
            better=self.comparison.better,
            worse=self.comparison.worse,
            p=self.comparison.p,
            cost=round(self.cost, 2),
        )

    def __str__(self) -> str:
        compared = self.comparison
        differs = "a significant difference" if compared.p < SIGNIFICANCE else "no significant difference"
        return (
            f"{self.models} models: {self.predictions.accuracy}; {differs} from the single model (p {compared.p:.2g}: "
            f"only the ensemble is right on {compared.better}, only the single model on {compared.worse}); it takes "
            f"{self.cost:.1f} times as long"
        )


def fold_models(named: str, runs: Path, trusted: bool = False) -> list[SavedModel]:
    """Loads the fold models of a run. Raises UsageError if it has fewer than two."""
    folder = find_run(named, runs)
    paths = [folder.checkpoint_of(entry) for entry in folder.record.folds]
    paths = [path for path in paths if path.is_file()]
    if len(paths) < 2:
        removed = ", because harness runs removed models" if folder.record.models_removed else ""
        why = f"it has {len(paths)} fold models{removed}"
        raise UsageError(f"{folder.path} has no ensemble", why, "name a run with two or more folds that has its models")
    return [load_model(path, function=model_function(path, trusted)) for path in paths]


def evaluate_ensemble(
    models: Sequence[SavedModel], predict: Callable[[SavedModel], Predictions], single: Predictions, seconds: float
) -> Ensemble:
    """Predicts with each model, and compares their mean with `single`, a model's predictions that took `seconds`."""
    started = time.perf_counter()
    parts = [predict(model) for model in models]
    cost = (time.perf_counter() - started) / max(seconds, 1e-9)
    mean = np.mean([part.probabilities for part in parts], axis=0)
    joint = Predictions(
        single.classes, single.paths, single.folds, single.labels, mean, single.groups, single.fingerprints
    )
    return Ensemble(len(models), joint, compare(joint, single), cost)
