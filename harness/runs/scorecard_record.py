"""A scorecard as the records of runs and tests have it."""

from __future__ import annotations

from typing import Any

from harness.evaluation.abstention import Abstention
from harness.evaluation.scorecard import Reliability, Scorecard
from harness.runs.record_parts import AnswersRecord, ClassRecord, ReliabilityRecord


def scorecard_fields(scores: Scorecard) -> dict[str, Any]:
    """The numbers by the fields of `RunRecord`."""
    return {
        "metrics": scores.metrics,
        "per_class": {s.name: ClassRecord(s.precision, s.recall, s.f1, s.support) for s in scores.per_class},
        "temperature": scores.temperature,
        "uncalibrated": _reliability(scores.before),
        "calibrated": _reliability(scores.after),
        "abstention": [_answers(row) for row in scores.abstention],
    }


def _reliability(found: Reliability) -> ReliabilityRecord:
    return ReliabilityRecord(found.error, list(found.interval), found.log_loss)


def _answers(row: Abstention) -> AnswersRecord:
    accuracy = row.accuracy
    return AnswersRecord(
        row.threshold,
        row.answered,
        row.share,
        None if accuracy is None else accuracy.value,
        None if accuracy is None else list(accuracy.interval),
    )
