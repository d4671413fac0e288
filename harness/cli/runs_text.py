"""The output of `harness runs`: rows of runs, the plan of a removal, and its result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.cli.output import echo
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.util.disk import bytes_text
from harness.util.text import few
from harness.workflows.removal.remove import Outcome, Removal
from harness.workflows.removal.stored import RUN, STUDY, TEST, StoredRun

NOTHING: Mapping[StoredRun, str] = MappingProxyType({})
HEADER = ("folder", "kind", "status", "accuracy", "age", "size", "content")


def print_plan(plan: Removal) -> None:
    """Prints what would be removed, and what stays although it was selected."""
    if not plan.going:
        echo(f"nothing to remove ({plan.total} in total)")
    else:
        what = "the models of " if plan.models_only else ""
        going = f"{what}{kinds_text(plan.going)} ({plan.total} in total)"
        echo(f"to remove: {going}, which frees {bytes_text(plan.bytes)}")
        print_rows(plan.going)
    foreign = [] if plan.models_only else [item.path / path for item in plan.going for path in item.strange]
    for title, lines in {
        "these stay, though they meet the conditions": [f"{item.path}  {why}" for item, why in plan.kept.items()],
        "these files stay, because no run wrote them": [str(path) for path in foreign],
    }.items():
        if lines:
            echo(title, *(f"  {line}" for line in lines))
    for item in plan.going:
        if isinstance(item.folder, StudyFolder) and item.folder.record.storage and not plan.models_only:
            where = item.folder.record.storage
            echo(f"note: Optuna's records of {item.path.name} stay in {where}: harness search would continue them")
    if plan.lucky:
        names = few([item.path.as_posix() for item in plan.lucky])
        echo(f"note: these may be as good as the best, within its 95 % interval (see harness compare): {names}")


def print_outcome(outcome: Outcome, models_only: bool, mlflow: Sequence[str]) -> None:
    """Prints what was removed and what was not. `mlflow` are lines about the removal from MLflow."""
    echo(f"removed: {'models of ' if models_only else ''}{count_text(len(outcome.removed))}")
    for path, why in outcome.kept.items():
        echo(f"stays: {path}  {why}")
    for path in outcome.back:
        echo(f"stays: {path}  no run wrote it")
    for problem in outcome.problems:
        echo(f"warning: not deleted: {problem}", err=True)
    for line in (*mlflow, *(f"note: {note}" for note in outcome.notes)):
        echo(line)


def print_earlier(outcome: Outcome) -> None:
    """Prints the result of finishing interrupted removals."""
    if outcome.finished:
        echo(f"finished an earlier removal that was interrupted: {count_text(outcome.finished)}", err=True)
    for path in outcome.back:
        echo(f"stays: {path}  no run wrote it", err=True)
    for problem in outcome.problems:
        echo(f"warning: not deleted: {problem}", err=True)


def print_rows(items: Sequence[StoredRun], remarks: Mapping[StoredRun, str] = NOTHING) -> None:
    """Prints a line per item: folder, kind, status, accuracy, age, size, the largest kinds of files, and a remark."""
    rows = []
    for item in items:
        parts = sorted(item.bytes_by_kind.items(), key=lambda part: -part[1])[:2]
        accuracy = "" if item.accuracy is None or _is_fast(item) else f"{100 * item.accuracy:.1f} %"
        cells = (item.path.as_posix(), item.kind, item.status, f"{accuracy:>7}", _age_text(item.began))
        made_of = ", ".join(f"{kind} {bytes_text(count)}" for kind, count in parts)
        rows.append((*cells, f"{bytes_text(item.bytes):>7}", made_of + _remark(item) + remarks.get(item, "")))
    rows = [HEADER, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        echo(("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())


def plan_fields(plan: Removal) -> dict[str, Any]:
    """The plan as JSON fields."""
    return {
        "to_remove": [run_fields(item) for item in plan.going],
        "models_only": plan.models_only,
        "bytes": plan.bytes,
        "kept": {str(item.path): why for item, why in plan.kept.items()},
    }


def outcome_fields(outcome: Outcome, mlflow: Sequence[str]) -> dict[str, Any]:
    """The result of a removal as JSON fields. `mlflow` are lines about the removal from MLflow."""
    return {
        "removed": [str(path) for path in outcome.removed],
        "stayed": {str(path): why for path, why in outcome.kept.items()},
        "files_that_stay": [str(path) for path in outcome.back],
        "problems": outcome.problems,
        "notes": [*mlflow, *outcome.notes],
    }


def run_fields(item: StoredRun) -> dict[str, Any]:
    """One run, test or study as JSON fields."""
    record = item.folder.record if item.folder is not None else None
    return {
        "run_dir": item.path.as_posix(),
        "kind": item.kind,
        "status": item.status,
        "accuracy": item.accuracy,
        "remark": _remark(item).removeprefix("; "),
        "started": record.started if record is not None else None,
        "bytes": item.bytes,
        "bytes_by_kind": item.bytes_by_kind,
    }


def kinds_text(items: Sequence[StoredRun]) -> str:
    """Counts by kind, such as "5 runs, 1 study"."""
    counts = {kind: sum(item.kind == kind for item in items) for kind in (RUN, TEST, STUDY)}
    plural = {RUN: "runs", TEST: "tests", STUDY: "studies"}
    return ", ".join(f"{n} {kind if n == 1 else plural[kind]}" for kind, n in counts.items() if n)


def count_text(number: int) -> str:
    """The number with its noun, such as "1 run" or "3 runs"."""
    return f"{number} {'run' if number == 1 else 'runs'}"


def _is_fast(item: StoredRun) -> bool:
    return item.folder is not None and item.folder.record.fast_dev_run


def _remark(item: StoredRun) -> str:
    """What to know about its accuracy, and about its files before they are removed."""
    remark = "; fast dev run" if _is_fast(item) else ""
    if isinstance(item.folder, RunFolder):
        remark += item.folder.record.caveat
        remark += "; models removed" if item.folder.record.models_removed and not item.has_models else ""
    others = len(item.strange)
    return remark + (f"; {others} {'file' if others == 1 else 'files'} that no run wrote" if others else "")


def _age_text(began: float) -> str:
    minutes = max(0.0, time.time() - began) / 60
    for count, unit in ((60 * 24, "d"), (60, "h")):
        if minutes >= count:
            return f"{minutes / count:3.0f} {unit}"
    return f"{minutes:3.0f} m"
