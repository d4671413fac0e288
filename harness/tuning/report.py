"""A study for people: what was found, what it cost, and what to type next."""

from __future__ import annotations

from typing import Any

from harness.tuning.job import Job
from harness.tuning.progress import per_fold, span
from harness.tuning.records import ACCURACY, TrialRecord
from harness.tuning.result import Compared, Found
from harness.tuning.study import Study


def report(job: Job, study: Study, found: Found, seconds: float, longer: str) -> list[str]:
    """The last block of a search. `longer` is the command that searches on."""
    best = found.best
    lines = ["", f"{job.experiment.name}, study {study.name}: {_counts(job, found)}"]
    if best is None:
        return [*lines, "  no trial is complete", f"  folder     {job.folder.path}"]
    changes = shown(best.changes) or "the experiment as written"
    lines += [
        f"  best       trial {best.place}: {best.accuracy}",
        f"             {changes}",
        "",
        *_table(job, found),
        "",
    ]
    rows = _alike(found)
    rows.append(
        ("caution", "the best of many is a little lucky: a test set that nothing has touched is what settles it")
    )
    if found.importances:
        rows.append(("mattered", ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.importances.items())))
    rows += [("folds", _folds(job, found)), ("took", _took(found)), ("time", f"{span(seconds)} in all")]
    rows += [("folder", f"{job.folder.path}: trials.csv, plots/, best.py")]
    rows += [("weights", _weights(job, found))]
    rows += [("next" if i == 0 else "", text) for i, text in enumerate(_next(job, found, longer))]
    return [*lines, *(f"  {name:<9}  {text}" for name, text in rows)]


def _alike(found: Found) -> list[tuple[str, str]]:
    others = [row.trial for row in found.top[1:] if not row.apart]
    if len(found.top) < 2:
        return []
    if not others:
        return [("alike", "none: the best can be told from each of the others")]
    which = f"{len(others)} other{'s' if len(others) > 1 else ''} cannot be told from the best"
    rows = [("alike", f"{which} by a paired exact test at 5 %, which images were right")]
    if found.cheapest is not None:
        cheap = span(found.cheapest.loop_seconds)
        rows.append(("cheapest", f"of these is trial {found.cheapest.place}: {cheap} of training, all folds"))
    return rows


def shown(changes: dict[str, Any]) -> str:
    """`lr 0.0012, freeze true`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in changes.items())


def _counts(job: Job, found: Found) -> str:
    parts = [
        f"{found.count(state)} {state}" for state in ("complete", "pruned", "failed", "running") if found.count(state)
    ]
    return f"{', '.join(parts) or 'no trial'} of {job.total} trials"


def _table(job: Job, found: Found) -> list[str]:
    heads = ["trial", "accuracy", "95 % interval", "training", "told from the best", "what it changed"]
    if job.metric != ACCURACY:
        heads.insert(1, job.metric)
    rows = [_row(job, row, found) for row in found.top]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads) - 1)] + [0]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]


def _row(job: Job, row: Compared, found: Found) -> list[str]:
    trial, (low, high) = row.trial, row.trial.accuracy.interval
    if trial is found.best:
        told = "the best"
    elif row.apart:
        told = f"yes (p {row.p:.2g})"
    else:
        told = f"cannot be told apart (p {row.p:.2g})"
    if trial is found.cheapest and len(found.top) > 1:
        told += ", cheapest"
    cells = [
        str(trial.place),
        f"{100 * trial.accuracy.value:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        span(trial.loop_seconds),
        told,
        shown(trial.changes) or "as written",
    ]
    return [cells[0], f"{trial.value:.4f}", *cells[1:]] if job.metric != ACCURACY else cells


def _folds(job: Job, found: Found) -> str:
    ended = [trial for trial in found.trials if trial.state in ("complete", "pruned")]
    all_of_them = len(ended) * len(job.plan.splits)
    trained = sum(len(trial.folds) for trial in ended)
    saved = f"; pruning saved {all_of_them - trained}" if all_of_them > trained else ""
    return f"{trained} trained of {all_of_them}{saved}"


def _took(found: Found) -> str:
    kinds = per_fold(found.trials)
    return "; ".join(f"{kind}: {span(seconds)} a fold" for kind, seconds in kinds.items())


def _weights(job: Job, found: Found) -> str:
    kept: list[TrialRecord] = [row.trial for row in found.top[: job.keep]]
    here = [trial for trial in kept if job.folder.trial(trial.place).joinpath("checkpoints").is_dir()]
    elsewhere = [trial for trial in kept if trial not in here]
    parts = [f"trial {', '.join(str(trial.place) for trial in here)}"] if here else []
    parts += [f"trial {trial.place} on {trial.attributes.get('owner', {}).get('host')}" for trial in elsewhere]
    return "; ".join(parts) + " (--keep says of how many)"


def _next(job: Job, found: Found, longer: str) -> list[str]:
    best = found.best
    assert best is not None
    commands = {f"harness run {job.folder.path / 'best.py'}": "the best trial again, as a run of its own"}
    typed = job.space.experiment
    if job.folder.trial(best.place).joinpath("checkpoints").is_dir():
        data = "" if typed.test_data and not typed.tests_other_data else " --data FOLDER"
        commands[f"harness test {job.folder.trial(best.place)}{data}"] = "its model on images that no trial has seen"
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
