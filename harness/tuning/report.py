"""The lines printed at the end of a search: its result, how long it took, and what to type next."""

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
LABEL = 10  # width of a row's label


def report(search: SearchPlan, study: Study, result: StudyResult, seconds: float, longer: str) -> list[str]:
    """Returns the last lines of a search. `longer` is the command that continues it."""
    best = result.best
    lines = ["", f"{search.experiment.name}, study {study.name}: {_counts(search, result)}"]
    if best is None:
        return [*lines, "  no trial is complete", *_why_none(result), _line("folder", str(search.folder.path))]
    lines += [
        _line("best", f"trial {best.index}: {best.accuracy}{leak_text(search.plan.leaked, best.accuracy.n)}"),
        _line("", changes_text(best.changes) or "the experiment as written"),
        *_expected(search, result),
        "",
        *_table(search, result),
        "",
    ]
    rows = [*_compared(search, result), *_importance(result), ("folds", _folds(search, result))]
    rows += [("time", f"{span(seconds)} in total"), *(("", text) for text in _fold_times(result))]
    names = [name for name in ("trials.csv", "plots/", "best.py") if (search.folder.path / name).exists()]
    rows += [("folder", f"{search.folder.path}: {', '.join(names)}")]
    rows += [("weights", _weights(search, result))]
    rows += [("next" if i == 0 else "", text) for i, text in enumerate(_next(search, result, longer))]
    return [*lines, *(_line(label, text) for label, text in rows)]


def _line(label: str, text: str) -> str:
    return f"  {label:<{LABEL}}  {text}"


def _why_none(result: StudyResult) -> list[str]:
    """The most frequent reasons why trials were pruned or failed."""
    reasons = Counter((trial.state, str(trial.reason)) for trial in result.trials if trial.reason)
    return [_line(state, f"{count} × {why}") for (state, why), count in reasons.most_common(MOST_REASONS)]


def _expected(search: SearchPlan, result: StudyResult) -> list[str]:
    """What the best settings are expected to reach if trained again; empty if there is only one trial."""
    if result.unknown:
        return [_line("expected", f"not known: {result.unknown}")]
    if result.expected is None:
        return []
    accuracy = result.expected.accuracy
    value = accuracy if accuracy is not None else f"{search.metric} {result.expected.value:.4f}"
    return [
        _line("expected", str(value)),
        _line("", "if these settings are trained again; the best of many trials is partly luck, corrected here"),
    ]


def _compared(search: SearchPlan, result: StudyResult) -> list[tuple[str, str]]:
    """How the other trials compare with the best."""
    others = [row.trial for row in result.top[1:] if row.differs is False]
    if len(result.top) < 2:
        return []
    if result.unknown or result.least is None:
        return [("compared", f"not known: {result.unknown}")]
    if not others:
        return [("compared", "the best differs significantly from each of the other trials")]
    which = f"{len(others)} other{'s' if len(others) > 1 else ''}: no significant difference from the best"
    percent = search.metric == ACCURACY
    least = f"{100 * result.least:.1f} points" if percent else f"{result.least:.3g}"
    rows = [("compared", f"{which} (at 5 %, corrected for all pairs)")]
    rows.append(("", f"the noise of training hides differences below {least}; more folds show smaller ones"))
    cheapest, best = result.cheapest, result.best
    if cheapest is not None and best is not None:
        worse = abs(best.value - cheapest.value)
        below = "" if not worse else f", {100 * worse:.1f} points below the best" if percent else ""
        training = f"{span(cheapest.loop_seconds)} of training"
        rows.append(("cheapest", f"trial {cheapest.index} of these trials: {training}{below}"))
    return rows


def _importance(result: StudyResult) -> list[tuple[str, str]]:
    """The importance of the parameters, and why some have none."""
    if not result.shares:
        return []
    percents = [
        f"{share.parameter} {_percent(share.share)} % ({_percent(share.low)} to {_percent(share.high)} %)"
        for share in result.shares
        if share.share is not None
    ]
    reasons: dict[str, list[str]] = {}
    for share in result.shares:
        if share.why is not None:
            reasons.setdefault(share.why, []).append(share.parameter)
    lines = [f"{', '.join(percents)} of the differences between trials, with 95 % intervals"] if percents else []
    lines += [f"not shown: {', '.join(names)} ({why})" for why, names in reasons.items()]
    return [("importance" if i == 0 else "", line) for i, line in enumerate(lines)]


def _percent(share: float | None) -> str:
    """A share in percent, with two digits below 1 %, so that a small share is not shown as 0."""
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
    heads = ["trial", "accuracy", "95 % interval", "training", "compared with the best", "changes"]
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
    total = len(ended) * len(search.plan.splits)
    trained = sum(len(trial.folds) for trial in ended)
    saved = f"; pruning saved {total - trained}" if total > trained else ""
    return f"{trained} of {total} trained{saved}"


def _fold_times(result: StudyResult) -> list[str]:
    return [f"{kind}: {span(seconds)} per fold" for kind, seconds in per_fold(result.trials).items()]


def _weights(search: SearchPlan, result: StudyResult) -> str:
    trials: list[TrialRecord] = [row.trial for row in result.top[: search.keep]]
    here = [trial for trial in trials if search.folder.trial(trial.index).joinpath("checkpoints").is_dir()]
    elsewhere = [trial for trial in trials if trial not in here and _host(trial) != socket.gethostname()]
    parts = [f"trial {', '.join(str(trial.index) for trial in here)}"] if here else []
    parts += [f"trial {trial.index} on {_host(trial)}" for trial in elsewhere]
    removed = len(trials) - len(here) - len(elsewhere)
    parts += [f"{removed} removed by harness runs"] if removed else []
    return "; ".join(parts) + " (--keep sets the number)"


def _host(trial: TrialRecord) -> Any:
    return trial.attributes.get("owner", {}).get("host")


def _next(search: SearchPlan, result: StudyResult, longer: str) -> list[str]:
    best = result.best
    assert best is not None
    commands = {}
    if (search.folder.path / "best.py").is_file():
        commands[f"harness run {search.folder.path / 'best.py'}"] = "train the best trial again, as a separate run"
    typed = search.space.experiment
    if search.folder.trial(best.index).joinpath("checkpoints").is_dir():
        data = "" if typed.test_data and not typed.tests_other_data else " --data FOLDER"
        commands[f"harness test {search.folder.trial(best.index)}{data}"] = "test its model on other images"
    commands["harness ui --study"] = "show all trials in TensorBoard, MLflow and optuna-dashboard"
    commands[longer] = "continue the search"
    width = min(72, max(len(command) for command in commands))
    return [f"{command:<{width}}  {what}" for command, what in commands.items()]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return (
        {True: "true", False: "false", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)
    )
