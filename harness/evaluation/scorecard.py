"""All numbers of a set of predictions except the accuracy: metrics, classes, calibration, abstention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.evaluation.abstention import Abstention, abstention
from harness.evaluation.calibration import calibration
from harness.evaluation.metrics import Metric, scores_of
from harness.evaluation.predictions import Predictions
from harness.evaluation.scores import ClassScore, Floats, by_class, log_loss


@dataclass(frozen=True)
class Reliability:
    """How well the probabilities match the accuracy.

    Attributes:
        error: Expected calibration error.
        interval: Its 95 % interval.
        log_loss: Mean cross-entropy, natural logarithm.
    """

    error: float
    interval: tuple[float, float]
    log_loss: float


@dataclass(frozen=True)
class Scorecard:
    """The numbers of N predictions.

    Attributes:
        metrics: Name -> value, for probabilities without the temperature; None if a metric is undefined.
        per_class: Precision, recall, F1 and support of each class.
        temperature: The divisor of the logits.
        before: Without the temperature.
        after: With it. In a run, each fold uses a temperature that was fitted on the other folds.
        abstention: The answers at each threshold of confidence, with the temperature.
    """

    metrics: dict[str, float | None]
    per_class: list[ClassScore]
    temperature: float
    before: Reliability
    after: Reliability
    abstention: tuple[Abstention, ...]


def scorecard(
    predictions: Predictions, before: Floats, after: Floats, temperature: float, own: Mapping[str, Metric] | None = None
) -> Scorecard:
    """Returns the numbers of predictions. There must be at least one.

    Args:
        predictions: The predictions whose metrics are computed.
        before: (N, classes) probabilities without a temperature.
        after: (N, classes) probabilities with it.
        temperature: The temperature of the model.
        own: More metrics: name -> function.
    """
    labels, probabilities, groups = predictions.labels, predictions.probabilities, predictions.groups
    metrics = scores_of(labels, probabilities)
    metrics |= {name: metric(labels, probabilities) for name, metric in (own or {}).items()}
    return Scorecard(
        metrics=metrics,
        per_class=by_class(labels, predictions.predicted, predictions.classes),
        temperature=temperature,
        before=_reliability(predictions, before),
        after=_reliability(predictions, after),
        abstention=abstention(labels, after, groups),
    )


def _reliability(predictions: Predictions, probabilities: Floats) -> Reliability:
    result = calibration(predictions.labels, probabilities, predictions.groups)
    return Reliability(result.error, result.interval, log_loss(predictions.labels, probabilities))
