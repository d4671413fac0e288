"""The result of a study: its best trials, which differ significantly, and what mattered."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.groups import paired_test
from harness.tuning.quiet import quiet
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import TrialRecord
from harness.util.escape import cell
from harness.util.files import write_whole

TOP = 10
FEWEST_TRIALS = 8  # for importances to mean anything


@dataclass(frozen=True)
class Compared:
    """A complete trial beside the best one."""

    trial: TrialRecord
    p: float  # the probability of such a difference by chance; of the best itself 1

    @property
    def differs(self) -> bool:
        """Whether it differs significantly from the best."""
        return self.p < SIGNIFICANCE


@dataclass(frozen=True)
class StudyResult:
    """A study as it is now."""

    trials: tuple[TrialRecord, ...]  # those that count: without those that another one replaced
    top: tuple[Compared, ...]  # best first, at most ten; of two objectives, of the front
    front: tuple[TrialRecord, ...]  # of two objectives, those that no other beats in both; best first
    importances: dict[str, float]  # by parameter, summing up to 1; empty where there are too few trials

    @property
    def best(self) -> TrialRecord | None:
        return self.top[0].trial if self.top else None

    @property
    def cheapest(self) -> TrialRecord | None:
        """The trial that trains fastest of those without a significant difference from the best."""
        alike = [row.trial for row in self.top if not row.differs]
        return min(alike, key=lambda trial: trial.loop_seconds, default=None)

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
            "top": [{"trial": row.trial.index, "p": row.p, "apart": row.differs} for row in self.top],
            "cheapest": cheapest.index if cheapest else None,
            "front": [trial.index for trial in self.front],
            "importances": self.importances,
        }


def summarise_study(search: SearchPlan, study: Study) -> StudyResult:
    """What the study has found so far."""
    trials = [trial for trial in study.trials() if trial.state != "died" and trial.index < search.total]
    trials.sort(key=lambda trial: trial.index)
    ranked = study.ranked([trial for trial in trials if trial.state == "complete"])
    front = _front(ranked) if search.pareto else []
    top = tuple(Compared(trial, _p(ranked[0], trial)) for trial in (front or ranked)[:TOP])
    return StudyResult(tuple(trials), top, tuple(front), _importances(study, trials))


def write_trials(path: Any, result: StudyResult) -> None:
    """All trials as a table."""
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


def _p(best: TrialRecord, other: TrialRecord) -> float:
    return paired_test(best.right, other.right, best.groups)


def _front(ranked: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those that are faster than every better one."""
    front: list[TrialRecord] = []
    for trial in ranked:
        if not front or trial.loop_seconds < front[-1].loop_seconds:
            front.append(trial)
    return front


def _importances(study: Study, trials: Sequence[TrialRecord]) -> dict[str, float]:
    """How much of the differences between trials each parameter accounts for; empty where there are too few to say.

    Pruned trials count by the folds that they had: they are most of what a study knows of bad values.
    """
    ended = [trial for trial in trials if trial.state in ("complete", "pruned") and trial.folds]
    known = [trial for trial in ended if trial.optuna_trial.params]
    if len(known) < FEWEST_TRIALS:
        return {}
    try:
        with quiet():
            seen = optuna.create_study(direction="maximize" if study.rising else "minimize")
            for trial in known:
                parameters, distributions = trial.optuna_trial.params, trial.optuna_trial.distributions
                seen.add_trial(
                    optuna.trial.create_trial(params=parameters, distributions=distributions, value=trial.value)
                )
            return optuna.importance.get_param_importances(
                seen, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
    except Exception:  # all trials are alike, say, or a value is one that Optuna cannot count with
        return {}
