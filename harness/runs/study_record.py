"""What `study.json` says of a study's result: its trials, which differ, what the best is worth, and what mattered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.runs.record_parts import SmallCount
from harness.util.schema import Count, Flag, Number, Positive, Seconds, Share, Text, Word


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial of a study, with its interval as far as it has folds."""

    trial: SmallCount
    state: Word | None
    number: Count | None  # Optuna's own
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
    """A trial beside the best one: the p-value of their difference, and whether it is significant; None: not known."""

    trial: SmallCount
    p: Share | None
    apart: Flag | None


@dataclass(frozen=True)
class ExpectedRecord:
    """The value of the best trial without its luck; with an interval if the metric is the accuracy."""

    value: Number
    low: Share | None
    high: Share | None
    n: Positive | None


@dataclass(frozen=True)
class ShareRecord:
    """What a parameter explains of the differences between the trials that have it; None if it may be nothing."""

    parameter: Text
    trials: Count
    share: Share | None
    low: Share | None
    high: Share | None
    why: Text | None


@dataclass(frozen=True, kw_only=True)
class StudyResultRecord:
    """What a study has found so far. An older file has no `shares`, and p-values that are not corrected."""

    best: StudyTrial | None = None
    expected: ExpectedRecord | None = None
    least_difference: Number | None = None  # from the best that is significant, in units of the metric
    unknown: Text | None = None  # why these three are not known: `expected`, `least_difference`, p-values
    trials: list[StudyTrial] = field(default_factory=list)
    counts: dict[Word, Count] = field(default_factory=dict)
    folds_trained: Count = 0
    top: list[ComparedTrial] = field(default_factory=list)
    cheapest: SmallCount | None = None
    front: list[SmallCount] = field(default_factory=list)
    shares: list[ShareRecord] = field(default_factory=list)
    importances: dict[Text, Number] = field(default_factory=dict)  # of older files, where they mean little
