"""The report of a run or a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.report.answers import answers_in
from harness.report.background import (
    class_counts,
    command_text,
    data_rows,
    notes_of,
    provenance_rows,
    setting_rows,
    skipped_rows,
)
from harness.report.confusions import confusion_context
from harness.report.curves import curve_charts
from harness.report.gallery import FULL, LEFT_OUT, NOT_MADE_HERE, Room, gallery
from harness.report.headline import Facts, facts_of, headline_of, warnings_of
from harness.report.label_gallery import label_gallery
from harness.report.page import render
from harness.report.reliability import reliability_chart
from harness.report.texts import between, moment, number, percent
from harness.runs.record_parts import ClassRecord
from harness.runs.records import RunRecord, TestRecord
from harness.runs.run_folder import RunFolder

MOST_CLASSES = 100  # the most classes in the table of scores; if there are more, those with the lowest F1


def run_page(
    folder: RunFolder,
    room: Room = FULL,
    title: str = "",
    facts: Facts | None = None,
    warnings: Sequence[str] = (),
    step: Callable[[], object] = lambda: None,
    images: bool = True,
) -> str:
    """Returns the report of a run or a test as HTML. The run must have predictions.

    Args:
        folder: The folder of the run.
        room: The most images to show.
        title: A title in place of the run's name.
        facts: Rows for the first screen, before those of the run.
        warnings: Warnings for the first screen, before those of the run.
        step: Called after each image.
        images: Whether to show images. If not, errors are listed by name.

    Raises:
        UsageError: A file of the run is damaged.
    """
    record = folder.record
    answers = answers_in(folder)
    assert answers is not None
    root = Path(record.data.folder) if images and folder.was_made_here else None
    why = NOT_MADE_HERE if images else LEFT_OUT
    value_range = record.experiment.get("value_range")
    suspects = label_gallery(folder, root, value_range, room.suspects, step)
    shown = gallery(answers, root, value_range, room, step, why, 0 if suspects is None else suspects.size)
    rows = [] if folder.is_test else folder.epochs()
    kind = "Test" if folder.is_test else "Run"
    context = {
        "title": title or f"{record.name}: report of a {kind.lower()}",
        "heading": title or record.name,
        "kind": f"{kind} {folder.id}",
        "date": moment(record.started),
        "warnings": [*warnings, *warnings_of(folder)],
        "headline": headline_of(folder),
        "facts": [*(facts or []), *facts_of(folder)],
        "notes": notes_of(record, record.data),
        "curves": curve_charts(rows, {entry.fold: entry.epoch for entry in record.folds}),
        "stops": [(entry.fold, entry.stop_reason) for entry in record.folds if entry.stop_reason],
        "confusion": confusion_context(answers, shown.cells),
        "errors": int((~answers.right).sum()),
        "predictions": len(answers),
        "several": len(answers) > answers.images,
        "gallery": shown,
        "suspects": suspects,
        "may_show": root is not None,
        "per_class": per_class(record),
        "classes_left": max(0, len(record.per_class) - MOST_CLASSES),
        "reliability": reliability_chart(answers),
        "calibration": calibration_rows(record),
        "answers": abstention_rows(record),
        "metrics": [(name.replace("_", " "), number(value)) for name, value in record.metrics.items()],
        "folds_shown": len({*answers.folds.tolist()}) > 1,
        **background(record, folder.id),
        "reproduce": reproduce(folder),
    }
    return render("run.html", context)


def background(record: RunRecord, own_id: str) -> dict[str, Any]:
    """Returns the fields for data, settings and provenance."""
    return {
        "data": data_rows(record.data),
        "class_counts": class_counts(record.data),
        "class_counts_left": max(0, len(record.data.classes) - len(class_counts(record.data))),
        "skipped": skipped_rows(record.data),
        "settings": setting_rows(record, record.experiment),
        "provenance": provenance_rows(record, record.data, own_id),
    }


def per_class(record: RunRecord) -> list[dict[str, Any]]:
    """Returns a row of scores for each class. If there are too many classes, those with the lowest F1, lowest first."""
    rows = list(record.per_class.items())
    if len(rows) > MOST_CLASSES:
        rows = sorted(rows, key=lambda item: _f1(item[1]))[:MOST_CLASSES]
    return [
        {
            "name": name,
            "support": score.support,
            **{each: (getattr(score, each), _share(getattr(score, each))) for each in ("precision", "recall", "f1")},
        }
        for name, score in rows
    ]


def _f1(score: ClassRecord) -> float:
    return 2.0 if score.f1 is None else score.f1


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def calibration_rows(record: RunRecord) -> list[tuple[str, str, str, str]]:
    """Returns rows (which probabilities, calibration error, its interval, log loss) from the record."""
    temperature = f", temperature {record.temperature:.2f}" if record.temperature else ""
    scores = (("uncalibrated", record.uncalibrated), (f"calibrated{temperature}", record.calibrated))
    return [
        (label, percent(each.error), between(each.interval), number(each.log_loss))
        for label, each in scores
        if each is not None
    ]


def abstention_rows(record: RunRecord) -> list[tuple[str, str, str, str]]:
    """Returns rows (smallest confidence, share answered, accuracy of the answers, interval), without equal rows."""
    rows, before = [], -1
    for row in record.abstention:
        if row.answered != before:
            rows.append((percent(row.threshold, 0), percent(row.share), percent(row.accuracy), between(row.interval)))
        before = row.answered
    return rows


def reproduce(folder: RunFolder) -> list[tuple[str, str]]:
    """Returns (command, description)."""
    record = folder.record
    if isinstance(record, TestRecord):
        return (
            [(command_text(record, record.data), "tests the same model on the same images again")]
            if record.command
            else []
        )
    return [
        (f"harness reproduce {folder.id}", "trains the run again, and compares the results"),
        (f"harness report {folder.id}", "writes this file again"),
    ]
