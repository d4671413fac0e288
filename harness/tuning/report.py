"""A study for people: what was found, what it cost, and what to type next."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from harness.runs.record_parts import leak_text
from harness.tuning.progress import per_fold, span
from harness.tuning.result import Compared, StudyResult
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import ACCURACY, TrialRecord

MOST_REASONS = 3  # shown if no trial is complete


def report(search: SearchPlan, study: Study, result: StudyResult, seconds: float, longer: str) -> list[str]:
    """The last block of a search. `longer` is the command that searches on."""
    best = result.best
    lines = ["", f"{search.experiment.name}, study {study.name}: {_counts(search, result)}"]
    if best is None:
        return [*lines, "  no trial is complete", *_why_none(result), f"  folder     {search.folder.path}"]
    changes = changes_text(best.changes) or "the experiment as written"
    lines += [
        f"  best       trial {best.index}: {best.accuracy}{leak_text(search.plan.leaked, best.accuracy.n)}",
        f"             {changes}",
        *_expected(search, result),
        "",
        *_table(search, result),
        "",
    ]
    rows = [*_alike(search, result), *_mattered(result)]
    rows += [("folds", _folds(search, result)), ("took", _took(result)), ("time", f"{span(seconds)} in all")]
    names = [name for name in ("trials.csv", "plots/", "best.py") if (search.folder.path / name).exists()]
    rows += [("folder", f"{search.folder.path}: {', '.join(names)}")]
    rows += [("weights", _weights(search, result))]
    rows += [("next" if i == 0 else "", text) for i, text in enumerate(_next(search, result, longer))]
    return [*lines, *(f"  {name:<9}  {text}" for name, text in rows)]


def _why_none(result: StudyResult) -> list[str]:
    """The most frequent reasons why trials were pruned or have failed."""
    reasons = Counter((trial.state, str(trial.reason)) for trial in result.trials if trial.reason)
    return [f"  {state:<9}  {count} × {why}" for (state, why), count in reasons.most_common(MOST_REASONS)]


def _expected(search: SearchPlan, result: StudyResult) -> list[str]:
    """What the best is worth without its luck; nothing if there is a single trial."""
    if result.unknown:
        return [f"  expected   not known: {result.unknown}"]
    if result.expected is None:
        return []
    accuracy = result.expected.accuracy
    value = accuracy if accuracy is not None else f"{search.metric} {result.expected.value:.4f}"
    return [
        f"  expected   {value}",
        "             if these settings are trained again: the best of many is lucky, and its luck is left out here",
    ]


def _alike(search: SearchPlan, result: StudyResult) -> list[tuple[str, str]]:
    others = [row.trial for row in result.top[1:] if row.differs is False]
    if len(result.top) < 2:
        return []
    if result.unknown or result.least is None:
        return [("alike", f"not known: {result.unknown}")]
    if not others:
        return [("alike", "none: the best differs significantly from each of the others")]
    which = f"{len(others)} other{'s' if len(others) > 1 else ''}: no significant difference from the best"
    percent = search.metric == ACCURACY
    least = f"{100 * result.least:.1f} points" if percent else f"{result.least:.3g}"
    rows = [("alike", f"{which} (at 5 %, corrected for all pairs)")]
    rows.append(("", f"the noise of training hides differences below {least}; more folds show smaller ones"))
    cheapest, best = result.cheapest, result.best
    if cheapest is not None and best is not None:
        worse = abs(best.value - cheapest.value)
        below = "" if not worse else f", and {100 * worse:.1f} points below the best" if percent else ""
        rows.append(
            ("cheapest", f"of these is trial {cheapest.index}: {span(cheapest.loop_seconds)} of training{below}")
        )
    return rows


def _mattered(result: StudyResult) -> list[tuple[str, str]]:
    """The parameters that mattered, and why the others are not among them."""
    if not result.shares:
        return []
    shown = [
        f"{each.parameter} {_percent(each.share)} % ({_percent(each.low)} to {_percent(each.high)} %)"
        for each in result.shares
        if each.share is not None
    ]
    reasons: dict[str, list[str]] = {}
    for each in result.shares:
        if each.why is not None:
            reasons.setdefault(each.why, []).append(each.parameter)
    lines = [f"{', '.join(shown)} of the differences between trials, with 95 % intervals"] if shown else []
    lines += [f"not shown: {', '.join(names)} ({why})" for why, names in reasons.items()]
    return [("mattered" if i == 0 else "", line) for i, line in enumerate(lines)]


def _percent(share: float | None) -> str:
    """A share in percent; one that is not 0 is not shown as 0."""
    percent = 100 * (share or 0.0)
    return f"{percent:.2g}" if percent < 1 else f"{percent:.0f}"


def changes_text(changes: dict[str, Any]) -> str:
    """`lr 0.0012, freeze true`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in changes.items())


def _counts(search: SearchPlan, result: StudyResult) -> str:
    parts = [
        f"{result.count(state)} {state}" for state in ("complete", "pruned", "failed", "running") if result.count(state)
    ]
    return f"{', '.join(parts) or 'no trial'} of {search.total} trials"


def _table(search: SearchPlan, result: StudyResult) -> list[str]:
    heads = ["trial", "accuracy", "95 % interval", "training", "against the best", "what it changed"]
    if search.metric != ACCURACY:
        heads.insert(1, search.metric)
    rows = [_row(search, row, result) for row in result.top]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads) - 1)] + [0]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]


def _row(search: SearchPlan, row: Compared, result: StudyResult) -> list[str]:
    trial, (low, high) = row.trial, row.trial.accuracy.interval
    if trial is result.best:
        differs = "the best"
    elif row.p is None:
        differs = "not known"
    elif row.differs:
        differs = f"differs (p {row.p:.2g})"
    else:
        differs = f"no significant difference (p {row.p:.2g})"
    if trial is result.cheapest and len(result.top) > 1:
        differs += ", cheapest"
    cells = [
        str(trial.index),
        f"{100 * trial.accuracy.value:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        span(trial.loop_seconds),
        differs,
        changes_text(trial.changes) or "as written",
    ]
    return [cells[0], f"{trial.value:.4f}", *cells[1:]] if search.metric != ACCURACY else cells


def _folds(search: SearchPlan, result: StudyResult) -> str:
    ended = [trial for trial in result.trials if trial.state in ("complete", "pruned")]
    all_of_them = len(ended) * len(search.plan.splits)
    trained = sum(len(trial.folds) for trial in ended)
    saved = f"; pruning saved {all_of_them - trained}" if all_of_them > trained else ""
    return f"{trained} trained of {all_of_them}{saved}"


def _took(result: StudyResult) -> str:
    kinds = per_fold(result.trials)
    return "; ".join(f"{kind}: {span(seconds)} a fold" for kind, seconds in kinds.items())


def _weights(search: SearchPlan, result: StudyResult) -> str:
    trials: list[TrialRecord] = [row.trial for row in result.top[: search.keep]]
    here = [trial for trial in trials if search.folder.trial(trial.index).joinpath("checkpoints").is_dir()]
    elsewhere = [trial for trial in trials if trial not in here and _host(trial) != socket.gethostname()]
    parts = [f"trial {', '.join(str(trial.index) for trial in here)}"] if here else []
    parts += [f"trial {trial.index} on {_host(trial)}" for trial in elsewhere]
    removed = len(trials) - len(here) - len(elsewhere)
    parts += [f"{removed} removed by harness runs"] if removed else []
    return "; ".join(parts) + " (--keep says of how many)"


def _host(trial: TrialRecord) -> Any:
    return trial.attributes.get("owner", {}).get("host")


def _next(search: SearchPlan, result: StudyResult, longer: str) -> list[str]:
    best = result.best
    assert best is not None
    commands = {}
    if (search.folder.path / "best.py").is_file():
        commands[f"harness run {search.folder.path / 'best.py'}"] = "the best trial again, as a separate run"
    typed = search.space.experiment
    if search.folder.trial(best.index).joinpath("checkpoints").is_dir():
        data = "" if typed.test_data and not typed.tests_other_data else " --data FOLDER"
        commands[f"harness test {search.folder.trial(best.index)}{data}"] = "its model on images that no trial has seen"
    commands["harness ui --study"] = "all trials in TensorBoard, MLflow and optuna-dashboard"
    commands[longer] = "search on"
    width = min(72, max(len(command) for command in commands))
    return [f"{command:<{width}}  {what}" for command, what in commands.items()]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return (
        {True: "true", False: "false", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)
    )
