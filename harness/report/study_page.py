"""The report of a study. All its numbers are from `study.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import UsageError
from harness.report.background import (
    class_counts,
    command_text,
    data_rows,
    notes_of,
    provenance_rows,
    setting_rows,
    skipped_rows,
)
from harness.report.headline import Facts, strip
from harness.report.page import render
from harness.report.study_charts import parameter_charts, time_chart
from harness.report.texts import between, count, duration, moment, number, percent, value_text
from harness.runs.record_parts import Status
from harness.runs.records import StudyRecord
from harness.runs.study_folder import StudyFolder
from harness.runs.study_record import ComparedTrial, ExpectedRecord, ShareRecord, StudyResultRecord, StudyTrial
from harness.util.text import few, size_text

MOST_TRIALS = 500  # the most trials in the table, the best first
MOST_PARAMETERS = 12  # the most parameters with a chart
ACCURACY = ("accuracy", "valid_accuracy")


def study_page(folder: StudyFolder) -> str:
    """Returns the report of a study as HTML. Raises UsageError if no trial has finished a fold."""
    record, result = folder.record, folder.record.result
    judged = [trial for trial in result.trials if trial.accuracy is not None] if result is not None else []
    if result is None or not judged:
        raise UsageError(
            f"{folder.path} has nothing to report",
            "no trial of this study has finished a fold",
            f"harness search {record.experiment_name} --study {record.name}",
        )
    best = None if result.best is None else result.best.trial
    metric = str(record.asked.get("metric", ACCURACY[0]))
    context = {
        "title": f"{record.name}: report of a study",
        "heading": record.name,
        "kind": f"Study of {record.experiment_name}",
        "date": moment(record.started),
        "warnings": _warnings(folder, result),
        "headline": _headline(result),
        "facts": _facts(record, result, metric),
        "notes": notes_of(record, record.data),
        "metric": None if metric in ACCURACY else metric.replace("_", " "),
        "trials": _rows(result)[:MOST_TRIALS],
        "trials_left": max(0, len(result.trials) - MOST_TRIALS),
        "least": result.least_difference if metric in ACCURACY else None,
        "unknown": result.unknown,
        "time": time_chart(judged, best),
        "shares": [_share(each) for each in result.shares if each.share is not None],
        "unshown": [(each.parameter, each.why or "") for each in result.shares if each.share is None],
        "parameters": parameter_charts(judged, _names(result, judged)[:MOST_PARAMETERS], best),
        "space": record.space,
        **_background(record, folder),
        "reproduce": _reproduce(folder),
    }
    return render("study.html", context)


def _background(record: StudyRecord, folder: StudyFolder) -> dict[str, Any]:
    data = record.data
    return {
        "data": [] if data is None else data_rows(data),
        "class_counts": [] if data is None else class_counts(data),
        "class_counts_left": 0 if data is None else max(0, len(data.classes) - len(class_counts(data))),
        "skipped": [] if data is None else skipped_rows(data),
        "settings": setting_rows(record, record.experiment),
        "provenance": provenance_rows(record, data, folder.path.name),
    }


def _warnings(folder: StudyFolder, result: StudyResultRecord) -> list[str]:
    record, texts = folder.record, []
    if record.data is not None and record.data.leaked:
        leaked = count(record.data.leaked, "validation image")
        texts.append(f"Leak: {leaked} used for training, too. So all accuracies are too good.")
    if record.data is not None and record.data.near_copies:
        near = count(record.data.near_copies, "validation image")
        texts.append(f"Near copies: {near} with a near copy in the training set. So all accuracies are too good.")
    if record.fast_dev_run:
        texts.append("Fast dev run: trained on two batches to check that everything works. Its numbers mean nothing.")
    if result.expected is None and result.best is not None and len(result.trials) > 1:
        why = f" ({result.unknown})" if result.unknown else ""
        texts.append(f"Optimistic: the best of several trials is too good by chance. By how much is not known{why}.")
    status = folder.status
    if status is Status.RUNNING:
        texts.append("The study is not finished: these are the results so far.")
    elif status is not Status.FINISHED:
        texts.append(f"Unfinished: the study was {status}{f' ({record.error})' if record.error else ''}.")
    if result.best is None:
        texts.append("No trial is complete: each accuracy is of only some of the folds.")
    return texts


def _headline(result: StudyResultRecord) -> dict[str, Any] | None:
    expected, best = result.expected, result.best
    if expected is not None and expected.low is not None and expected.high is not None:
        return _big(
            expected.value, (expected.low, expected.high), "expected if the best settings are trained again", expected
        )
    if best is None or best.accuracy is None or best.low is None or best.high is None:
        return None
    return _big(best.accuracy, (best.low, best.high), f"accuracy of the best trial, {best.trial}", best)


def _big(value: float, interval: tuple[float, float], what: str, of: ExpectedRecord | StudyTrial) -> dict[str, Any]:
    return {
        "value": percent(value),
        "what": what,
        "interval": between(interval),
        "n": count(of.n or 0, "image"),
        "gate": None,
        "strip": strip(value, interval, None, None),
    }


def _facts(record: StudyRecord, result: StudyResultRecord, metric: str) -> Facts:
    fields, best = record.experiment, result.best
    facts = [("Question", f"Which settings of {record.experiment_name} are best?")]
    states = [
        f"{result.counts[state]} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if result.counts.get(state)
    ]
    trained = count(result.folds_trained, "fold")
    ended = f"{', '.join(states) or 'none'} of {count(record.trials, 'trial')}"
    facts.append(("Trials", f"{ended}; {trained} trained"))
    if best is not None:
        metric_text = "" if metric in ACCURACY else f", {metric.replace('_', ' ')} {number(best.value)}"
        interval = "–" if best.low is None or best.high is None else between((best.low, best.high))
        facts.append(("Best trial", f"trial {best.trial}: {percent(best.accuracy)} ({interval}){metric_text}"))
        facts.append(("Its settings", changes_text(best.changes) or "those of the experiment"))
    if result.cheapest is not None:
        row = next((trial for trial in result.trials if trial.trial == result.cheapest), None)
        if row is not None:
            why = "the fastest without a significant difference from the best"
            facts.append(("Cheapest", f"trial {row.trial}, with {duration(row.loop_seconds)} of training: {why}"))
    folds = fields.get("folds")
    facts.append(
        ("Evaluation", f"{folds}-fold cross-validation, the same folds for all trials" if folds else "a hold-out")
    )
    size = f" at {size_text(fields['image_size'])}" if "image_size" in fields else ""
    facts.append(("Model", f"{value_text(fields.get('model', 'unknown'))}{size}"))
    if record.data is not None:
        facts.append(("Images", f"{count(record.data.images, 'image')} of {few(list(record.data.classes), 6)}"))
    precision = f", {record.precision.name}" if record.precision is not None else ""
    facts.append(("Computed on", f"{record.device or 'an unknown device'}{precision}"))
    return facts


def _rows(result: StudyResultRecord) -> list[dict[str, Any]]:
    """All trials, complete ones first, the best at the top."""
    compared = {row.trial: row for row in result.top}
    rank = {row.trial: place for place, row in enumerate(result.top)}
    ordered = sorted(
        result.trials,
        key=lambda t: (rank.get(t.trial, len(rank)), t.state != "complete", t.accuracy is None, -(t.accuracy or 0.0)),
    )
    best = None if result.best is None else result.best.trial
    return [_row(trial, compared.get(trial.trial), best, result.cheapest) for trial in ordered]


def _row(trial: StudyTrial, row: ComparedTrial | None, best: int | None, cheapest: int | None) -> dict[str, Any]:
    if trial.trial == best:
        differs = "the best"
    elif row is None:
        differs = "pruned" if trial.state == "pruned" else "not compared" if trial.state == "complete" else ""
    elif row.p is None:
        differs = "not known"
    else:
        differs = f"{'differs' if row.apart else 'no significant difference'} (p {row.p:.2g})"
    interval = "" if trial.low is None or trial.high is None else between((trial.low, trial.high))
    return {
        "trial": trial.trial,
        "state": trial.state or "",
        "accuracy": trial.accuracy,
        "accuracy_text": "" if trial.accuracy is None else percent(trial.accuracy),
        "value": trial.value,
        "value_text": "" if trial.value is None else number(trial.value),
        "interval": interval,
        "folds": trial.folds,
        "seconds": trial.loop_seconds,
        "seconds_text": duration(trial.loop_seconds) if trial.folds else "",
        "differs": differs + (", the cheapest" if trial.trial == cheapest and trial.trial != best else ""),
        "why": trial.why or "",
        "changes": changes_text(trial.changes) or "none",
        "best": trial.trial == best,
    }


def _share(each: ShareRecord) -> dict[str, Any]:
    low, high = each.low or 0.0, each.high or 0.0
    return {
        "name": each.parameter,
        "trials": each.trials,
        "share": each.share,
        "text": percent(each.share, 0),
        "interval": between((low, high), 0),
        "low": low,
        "high": high,
    }


def _names(result: StudyResultRecord, judged: Sequence[StudyTrial]) -> list[str]:
    """The parameters, the most important first."""
    important = [each.parameter for each in result.shares if each.share is not None]
    others = sorted({name for trial in judged for name in trial.changes} - {*important})
    return [*important, *others]


def changes_text(changes: dict[str, Any]) -> str:
    """Returns a text such as `lr 0.0012, freeze yes`."""
    return ", ".join(
        f"{name} {f'{value:.3g}' if isinstance(value, float) else value_text(value)}" for name, value in changes.items()
    )


def _reproduce(folder: StudyFolder) -> list[tuple[str, str]]:
    record, rows = folder.record, []
    if (folder.path / "best.py").is_file():
        rows.append((f"harness run {folder.path / 'best.py'}", "trains the best trial again, as a separate run"))
    if record.command:
        rows.append((command_text(record, record.data), "continues this study, or searches again"))
    return rows
