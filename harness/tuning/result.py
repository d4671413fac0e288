"""The result of a study: its best trials, which of them differ significantly, and the parameters' importance."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.tuning.fold_table import SHOWN, Expected, FoldTable
from harness.tuning.importance import ParameterShare
from harness.tuning.search_plan import SearchPlan, scored_by_image
from harness.tuning.study import Study
from harness.tuning.trial_record import TrialRecord
from harness.util.escape import cell
from harness.util.files import write_whole


@dataclass(frozen=True)
class Compared:
    """A complete trial, compared with the best one."""

    trial: TrialRecord
    p: float | None  # p-value of the difference, corrected for all pairs; 1 for the best; None if it is not known

    @property
    def differs(self) -> bool | None:
        """Whether it differs significantly from the best; None if that is not known."""
        return None if self.p is None else self.p < SIGNIFICANCE


@dataclass(frozen=True)
class StudyResult:
    """The result of a study so far.

    Attributes:
        trials: All trials except those that another trial replaced.
        top: The best trials, best first, at most ten; with two objectives, the trials of the front.
        front: With two objectives, the trials that no other trial beats in both; best first.
        expected: What the best trial is expected to reach again; None if not known, or if there is only one trial.
        least: The smallest significant difference from the best, in units of the metric; None if it is not known.
        unknown: Why differences and the expected value are not known; empty if they are known.
        shares: The importance of each parameter.
    """

    trials: tuple[TrialRecord, ...]
    top: tuple[Compared, ...]
    front: tuple[TrialRecord, ...]
    expected: Expected | None
    least: float | None
    unknown: str
    shares: tuple[ParameterShare, ...]

    @property
    def best(self) -> TrialRecord | None:
        return self.top[0].trial if self.top else None

    @property
    def cheapest(self) -> TrialRecord | None:
        """The fastest training trial without a significant difference from the best; None if that is not known."""
        if self.unknown:
            return None
        not_different = [row.trial for row in self.top if row.differs is False]
        return min(not_different, key=lambda trial: trial.loop_seconds, default=None)

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials)

    def folds_trained(self) -> int:
        return sum(len(trial.folds) for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `--json` and `study.json`."""
        cheapest = self.cheapest
        return {
            "trials": [_plain(trial) for trial in self.trials],
            "counts": {state: self.count(state) for state in ("complete", "pruned", "failed", "running", "waiting")},
            "folds_trained": self.folds_trained(),
            "best": _plain(self.best) if self.best else None,
            "expected": _plain_expected(self.expected),
            "least_difference": self.least,
            "unknown": self.unknown or None,
            "top": [{"trial": row.trial.index, "p": row.p, "apart": row.differs} for row in self.top],
            "cheapest": cheapest.index if cheapest else None,
            "front": [trial.index for trial in self.front],
            "shares": [dataclasses.asdict(share) for share in self.shares],
        }


def summarise_study(search: SearchPlan, study: Study) -> StudyResult:
    """Returns the result of the study so far."""
    trials = [trial for trial in study.trials() if trial.state != "died" and trial.index < search.total]
    trials.sort(key=lambda trial: trial.index)
    complete = study.ranked([trial for trial in trials if trial.state == "complete"])
    pruned = [trial for trial in trials if trial.state == "pruned" and trial.folds]
    front = _front(complete) if search.pareto else []
    by_image = scored_by_image(search.experiment, search.metric)
    table = FoldTable.of(complete, pruned, study.rising, by_image)
    rows = (front or complete)[:SHOWN]
    chances = table.chances(rows)
    top = tuple(map(Compared, rows, chances))
    return StudyResult(
        tuple(trials), top, tuple(front), table.expected(search.metric), table.least, table.unknown, table.shares()
    )


def write_trials(path: Any, result: StudyResult) -> None:
    """Writes all trials to a CSV file."""
    rows = [_plain(trial) for trial in result.trials]
    names = sorted({name for row in rows for name in row["changes"]})
    columns = [name for name in rows[0] if name != "changes"] if rows else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, [*columns, *names]))
    for row in rows:
        values = [*(row[name] for name in columns), *(row["changes"].get(name, "") for name in names)]
        writer.writerow(map(_cell, values))
    write_whole(path, text.getvalue().encode("utf-8", "replace"))


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else cell(str(value))


def _plain(trial: TrialRecord) -> dict[str, Any]:
    owner = trial.attributes.get("owner", {})
    row: dict[str, Any] = {"trial": trial.index, "state": trial.state, "number": trial.number}
    row |= dict.fromkeys(("value", "accuracy", "low", "high", "n"))
    if trial.folds:
        low, high = trial.accuracy.interval
        row |= {"value": trial.value, "accuracy": trial.accuracy.value, "low": low, "high": high, "n": trial.accuracy.n}
    return row | {
        "folds": len(trial.folds),
        "seconds": round(trial.seconds, 3),
        "loop_seconds": round(trial.loop_seconds, 3),
        "kind": trial.kind,
        "host": owner.get("host"),
        "pid": owner.get("pid"),
        "why": trial.reason,
        "changes": trial.changes,
    }


def _plain_expected(expected: Expected | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    accuracy = expected.accuracy
    low, high = accuracy.interval if accuracy else (None, None)
    return {"value": expected.value, "low": low, "high": high, "n": accuracy.n if accuracy else None}


def _front(ranked: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that are faster than each better one."""
    front: list[TrialRecord] = []
    for trial in ranked:
        if not front or trial.loop_seconds < front[-1].loop_seconds:
            front.append(trial)
    return front
