"""Records of the scores of a run or a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.evaluation.abstention import Abstention
from harness.evaluation.gate import Floor, Gate
from harness.evaluation.scorecard import Reliability, Scorecard
from harness.runs.record_parts import ClassRecord, FloorRecord, GateRecord, SmallCount
from harness.util.schema import Count, Interval, Number, Share


@dataclass(frozen=True)
class ReliabilityRecord:
    """The expected calibration error with its 95 % interval, and the mean cross-entropy."""

    error: Share
    interval: Interval
    log_loss: Number


@dataclass(frozen=True)
class AnswersRecord:
    """The answers of a model that abstains below a confidence threshold, and their accuracy."""

    threshold: Share
    answered: Count
    share: Share
    accuracy: Share | None
    interval: Interval | None


@dataclass(frozen=True)
class NoiseRecord:
    """How much the accuracy varies if only the seed changes.

    `repeats` has the accuracy of each repeat over all folds, and `deviation` is their standard deviation. `of_a_model`
    is the standard deviation between models of the same fold, with its 95 % interval.
    """

    repeats: list[Share]
    deviation: Number | None
    of_a_model: Number | None
    interval: tuple[Number, Number] | None


@dataclass(frozen=True)
class EnsembleRecord:
    """An ensemble (the mean of several models), compared with a single model.

    `better` is the number of images that only the ensemble gets right, `worse` the number that only the single model
    gets right. `cost` is the time of the ensemble divided by the time of the single model.
    """

    models: SmallCount
    accuracy: Share
    interval: Interval
    log_loss: Number
    better: Count
    worse: Count
    p: Share
    cost: Number


def scorecard_fields(scores: Scorecard) -> dict[str, Any]:
    """Returns the scores as fields of `RunRecord`."""
    return {
        "metrics": scores.metrics,
        "per_class": {s.name: ClassRecord(s.precision, s.recall, s.f1, s.support) for s in scores.per_class},
        "temperature": scores.temperature,
        "uncalibrated": _reliability(scores.before),
        "calibrated": _reliability(scores.after),
        "abstention": [_answers(row) for row in scores.abstention],
    }


def gate_record(gate: Gate, floors: Sequence[Floor]) -> GateRecord:
    """Returns the record of a gate and its results."""
    assert gate.least is not None
    rows = [FloorRecord(each.name, each.value, list(each.interval), each.least, each.passed) for each in floors]
    return GateRecord(all(each.passed for each in floors), gate.least, gate.metric, gate.confident, rows)


def _reliability(reliability: Reliability) -> ReliabilityRecord:
    return ReliabilityRecord(reliability.error, list(reliability.interval), reliability.log_loss)


def _answers(row: Abstention) -> AnswersRecord:
    accuracy = row.accuracy
    return AnswersRecord(
        row.threshold,
        row.answered,
        row.share,
        None if accuracy is None else accuracy.value,
        None if accuracy is None else list(accuracy.interval),
    )
