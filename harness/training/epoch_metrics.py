"""Metrics of a whole validation set at the end of each epoch: those that are not a mean over examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.config.experiment import Experiment
from harness.engine.trainer import Callback, State
from harness.evaluation.metrics import Metric, metric_named
from harness.util.user_code import calling, returned

EVERY_RUN = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")  # metrics that every run computes
SIDES = ("inner", "valid")


def monitors(experiment: Experiment) -> list[str]:
    """Returns the metrics that `monitor` may name."""
    own = [name for callback in experiment.callbacks for name in callback.metric_names]
    return [*EVERY_RUN, *(f"valid_{name}" for name in _names(experiment)), *own]


def chosen_metrics(experiment: Experiment, classes: int) -> dict[str, Metric]:
    """Returns the experiment's metrics; keys are names. Raises UsageError for an unknown metric."""
    functions = {name_of_metric(item): item for item in experiment.metrics if callable(item)}
    return {
        name: _users_metric(functions[name]) if name in functions else metric_named(name, classes)
        for name in _names(experiment)
    }


def name_of_metric(metric: Any) -> str:
    """Returns the name of a metric in the history, without the prefix of its split."""
    return metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)


def epoch_metrics(experiment: Experiment, classes: Sequence[str]) -> list[Callback]:
    """Returns the callback that adds the experiment's metrics to the history; an empty list if there are none."""
    chosen = chosen_metrics(experiment, len(classes))
    return [EpochMetrics(chosen)] if chosen else []


class EpochMetrics(Callback):
    """Adds metrics of the inner part and the validation set to the history, such as `valid_macro_f1`.

    It must be the first callback, so that all others can read these metrics. An undefined metric is NaN.
    """

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self._metrics = metrics
        self.metric_names = tuple(f"{side}_{name}" for side in SIDES for name in metrics)
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._parts: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def on_epoch_start(self, state: State) -> None:
        self._parts = {side: [] for side in SIDES if side in state.phases}

    def state_dict(self) -> dict[str, Any]:
        return {"parts": self._parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._parts = state_dict["parts"]

    def on_batch_end(self, state: State) -> None:
        if state.phase in self._parts and state.logits is not None:
            self._parts[state.phase].append((state.logits, state.batch[1]))

    def on_epoch_end(self, state: State) -> None:
        for side, batches in self._parts.items():
            logits, targets = zip(*batches, strict=True)
            labels = torch.cat(targets).cpu().numpy()
            probabilities = torch.cat(logits).cpu().double().softmax(1).numpy()
            for name, metric in self._metrics.items():
                value = metric(labels, probabilities)
                state.history[-1][f"{side}_{name}"] = math.nan if value is None else float(value)


def _names(experiment: Experiment) -> list[str]:
    """Returns the experiment's metrics and its monitor, without the metrics that every run computes."""
    own = {name for callback in experiment.callbacks for name in callback.metric_names}
    names = [name_of_metric(item) for item in experiment.metrics]
    monitor = experiment.monitor
    if monitor.startswith("valid_") and monitor not in own:
        names.append(monitor.removeprefix("valid_"))
    return [name for name in dict.fromkeys(names) if f"valid_{name}" not in EVERY_RUN]


def _users_metric(function: Callable[..., Any]) -> Metric:
    """Wraps a metric function of the experiment. Raises UserCodeError if it fails or does not return a number."""

    def metric(labels: Any, probabilities: Any) -> float | None:
        with calling("metrics", function):
            value = function(labels, probabilities)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise returned("metrics", function, value, "a number, or None if it is undefined") from None

    return metric
