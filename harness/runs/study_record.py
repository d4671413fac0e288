"""The result of a study in `study.json`: trials, significant differences, expected value, importance of parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.runs.record_parts import SmallCount
from harness.util.schema import Count, Flag, Number, Positive, Seconds, Share, Text, Word


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial of a study. Its accuracy and interval are of the finished folds."""

    trial: SmallCount
    state: Word | None
    number: Count | None  # the number in Optuna
    value: Number | None
    accuracy: Share | None
    low: Share | None
    high: Share | None
    n: Positive | None
    folds: SmallCount = 0
    seconds: Seconds = 0.0
    loop_seconds: Seconds = 0.0
    kind: Text = ""
    host: Text | None
    pid: Count | None
    why: Text | None
    changes: dict[Text, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedTrial:
    """A trial compared with the best: the p-value of the difference, and whether it is significant. None: unknown."""

    trial: SmallCount
    p: Share | None
    apart: Flag | None


@dataclass(frozen=True)
class ExpectedRecord:
    """The value of the best trial, corrected for the luck of being the best. Accuracies have an interval."""

    value: Number
    low: Share | None
    high: Share | None
    n: Positive | None


@dataclass(frozen=True)
class ShareRecord:
    """The share of the differences between trials that a parameter explains. None if it may be nothing; then `why`."""

    parameter: Text
    trials: Count
    share: Share | None
    low: Share | None
    high: Share | None
    why: Text | None


@dataclass(frozen=True, kw_only=True)
class StudyResultRecord:
    """The result of a study so far. Older files have no `shares`, and their p-values are not corrected."""

    best: StudyTrial | None = None
    expected: ExpectedRecord | None = None
    least_difference: Number | None = None  # smallest significant difference from the best, in units of the metric
    unknown: Text | None = None  # why `expected`, `least_difference` and the p-values are unknown
    trials: list[StudyTrial] = field(default_factory=list)
    counts: dict[Word, Count] = field(default_factory=dict)
    folds_trained: Count = 0
    top: list[ComparedTrial] = field(default_factory=list)
    cheapest: SmallCount | None = None
    front: list[SmallCount] = field(default_factory=list)
    shares: list[ShareRecord] = field(default_factory=list)
    importances: dict[Text, Number] = field(default_factory=dict)  # only in older files, where they are not reliable
