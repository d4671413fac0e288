"""`harness list`."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import HarnessError
from harness.util.text import size_text

if TYPE_CHECKING:
    from harness.runs.run_folder import RunFolder
    from harness.runs.study_folder import StudyFolder


STATUSES = ("running", "finished", "failed", "interrupted", "died")
SAVED = "saved: "  # in the result of a run that can be continued


@click.command("list", short_help=cli.VERBS["list"])
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="Number of runs to show.")
@click.option("--experiment", metavar="NAME", help="Show this experiment only.")
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Show this status only. May be repeated."
)
@click.option("--tests", is_flag=True, help="Show tests, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(
    runs: str, count: int, experiment: str | None, statuses: tuple[str, ...], tests: bool, as_json: bool
) -> None:
    """Show the experiments in experiments/ and the latest runs.

    Every command that takes a run also takes its short id.
    """
    from harness.config.experiment_file import files, folder_name
    from harness.runs.find import latest_runs, latest_studies
    from harness.runs.short_ids import short_ids

    name = None if experiment is None else folder_name(Path(experiment).stem)
    damaged: list[dict[str, Any]] = []
    all_runs = latest_runs(Path(runs), lambda path, error: damaged.append(_unreadable(path, error.why)))
    ids = short_ids({folder.path.as_posix(): folder.id for folder in all_runs})
    chosen = [folder for folder in all_runs if _is_chosen(folder, name, statuses) and (tests or not folder.is_test)]
    studies = [_study(folder) for folder in latest_studies(Path(runs)) if _is_chosen(folder, name, statuses)]
    experiments = [_experiment(path) for path in files() if name in (None, folder_name(path.stem))]
    latest = [_run(folder, ids[folder.path.as_posix()]) for folder in chosen[:count]]
    if as_json:
        echo_json({"experiments": experiments, "studies": studies, "runs": latest, "unreadable": damaged})
        return
    where = "" if name is None else f" named {name}"
    echo("experiments" if experiments else f"no experiments: there is no file{where} in experiments/")
    _print_columns(experiments, ["file", "about"])
    if studies:
        echo("", "studies")
        _print_columns(studies, ["study_dir", "status", "result", "mlflow"])
    if latest:
        more = f" ({count} of {len(chosen)}; -n {len(chosen)} shows all)" if len(chosen) > count else ""
        echo("", f"latest runs{more}")
        header = {"id": "id", "experiment": "experiment", "started": "started", "status": "status", "details": "result"}
        _print_columns([header, *map(_row, latest)], [*header])
        _print_resume(latest)
    elif not chosen:
        is_filtered = bool(len(all_runs) and (name or statuses or not tests))
        echo("", f"no such runs in {runs}" if is_filtered else f"no runs in {runs} yet: harness run EXPERIMENT")
    _print_damaged(damaged)
    _print_missing(all_runs)


def _is_chosen(folder: RunFolder | StudyFolder, name: str | None, statuses: tuple[str, ...]) -> bool:
    from harness.runs.run_folder import RunFolder

    own = folder.record.name if isinstance(folder, RunFolder) else folder.record.experiment_name
    return name in (None, own) and (not statuses or folder.status.value in statuses)


def _row(run: dict[str, Any]) -> dict[str, Any]:
    """A run for the table: the time without seconds, and the rest in one column."""
    details = [re.sub(r" \(harness (resume|refit) [^)]*\)$", "", run["result"]), run["differs"], run["mlflow"]]
    started = run["started"][:16].replace("T", " ")
    return {**run, "started": started, "details": "  ".join(text for text in details if text)}


def _print_resume(latest: list[dict[str, Any]]) -> None:
    """Which command continues the latest run that can be continued."""
    run = next((run for run in latest if SAVED in run["result"]), None)
    if run is not None:
        verb = "refit" if "(harness refit " in run["result"] else "resume"
        echo("", f"to continue {run['id']}: harness {verb} {run['id']}")


def _experiment(path: Path) -> dict[str, Any]:
    from harness.config.experiment_file import load
    from harness.config.experiment_text import read_text
    from harness.config.fields import json_value

    main_fields = {"model", "freeze", "image_size", "lr", "batch_size", "folds", "epochs"}
    try:
        e = read_text(path, main_fields) or load(path)
    except HarnessError as error:
        return {"file": path.as_posix(), "about": f"cannot be loaded: {error.what}"}
    folds = f"{e.folds} folds" if e.folds else "hold-out"
    freeze = {True: "frozen", False: "not frozen"}[e.freeze] if isinstance(e.freeze, bool) else f"frozen to {e.freeze}"
    settings = f"{size_text(e.image_size)}, lr {e.lr:g}, batch {e.batch_size}, {folds} x {e.epochs} epochs"
    return {"file": path.as_posix(), "about": f"{json_value(e.model)}, {freeze}, {settings}"}


def _study(folder: StudyFolder) -> dict[str, Any]:
    from harness.runs.record_parts import Status
    from harness.trackers.mlflow.state import missing_text

    trials = folder.trials()  # of this machine
    done = sum(trial.status in (Status.FINISHED, Status.PRUNED, Status.FAILED) for trial in trials)
    finished = [trial.record for trial in trials if trial.status is Status.FINISHED]
    complete = [(record.accuracy, record.n) for record in finished if record.accuracy is not None]
    result = f"study {folder.record.name}: {done} of {folder.record.trials} trials"
    best = max(complete, key=lambda pair: pair[0], default=None)
    if best is not None:
        result += f", best {100 * best[0]:.1f} % of {best[1]}"
    return {
        "study_dir": folder.path.as_posix(),
        "status": folder.status,
        "result": result,
        "mlflow": missing_text(folder),
    }


def _unreadable(path: Path, why: str) -> dict[str, Any]:
    return {"run_dir": path.as_posix(), "status": "unreadable", "result": why, "accuracy": None, "differs": ""}


def _print_damaged(damaged: list[dict[str, Any]]) -> None:
    if damaged:
        echo("", "folders whose run.json cannot be read")
        _print_columns(damaged, ["run_dir", "result"])


def _print_missing(all_runs: list[RunFolder]) -> None:
    """How many of all runs MLflow lacks, and no process sends at this moment."""
    from harness.trackers.mlflow.state import is_being_sent, is_unsent

    count = sum(is_unsent(folder) and not is_being_sent(folder) for folder in all_runs)
    if count:
        echo("", f"incomplete in MLflow: {count} of {len(all_runs)} runs; the next run or harness ui sends the rest")


def _run(folder: RunFolder, short_id: str) -> dict[str, Any]:
    from harness.runs.unfinished import can_go_on, next_progress, progress_text
    from harness.trackers.mlflow.state import missing_text

    record, result = folder.record, ""
    if record.accuracy is not None and record.interval is not None:
        low, high = record.interval
        result = f"{100 * record.accuracy:.1f} % of {record.n} ({100 * low:.1f} to {100 * high:.1f} %){record.caveat}"
    if record.fast_dev_run:
        result = "fast dev run"
    if record.error:
        result += f"  {record.error}"
    if can_go_on(folder):
        result += f"  {SAVED}{progress_text(folder, next_progress(folder))} (harness resume {short_id})"
    elif record.progress is not None and record.progress.fold == 0:
        result += f"  {SAVED}{progress_text(folder, record.progress)} (harness refit {short_id})"
    return {
        "id": short_id,
        "kind": record.kind,
        "experiment": record.name,
        "started": record.started,
        "run_dir": folder.path.as_posix(),
        "status": folder.status,
        "result": result.strip(),
        "accuracy": record.accuracy,
        "differs": _differs(folder),
        "trackers": record.trackers,
        "mlflow": missing_text(folder),
    }


def _differs(folder: RunFolder) -> str:
    """The settings from the command line, and the folds, if not all were trained; of a test, its model and data."""
    from harness.runs.record_parts import Status
    from harness.runs.records import TestRecord

    record = folder.record
    if isinstance(record, TestRecord):
        gate = "" if record.gate is None else f", gate {'passed' if record.gate.passed else 'failed'}"
        return f"test of {record.checkpoint.file} on {record.data.folder}{gate}"
    origins, values = record.origins, record.experiment
    parts = [f"{name}={_typed(values.get(name))}" for name, origin in origins.items() if origin == "command line"]
    folds = [str(entry.fold) for entry in record.folds]
    if record.reproduces:
        parts.append(f"reproduces {record.reproduces}")
    if folder.status is Status.FINISHED and values.get("folds") and len(folds) < values["folds"]:
        parts.append(f"fold {', '.join(folds)} only")
    return "  ".join(parts)


def _typed(value: Any) -> str:
    """A value as on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_columns(rows: list[dict[str, Any]], names: list[str]) -> None:
    """Prints a table. On a terminal, a line that is too long ends with an ellipsis; --json has all of it."""
    widths = [max((len(str(row[name])) for row in rows), default=0) for name in names]
    longest = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else sys.maxsize
    for row in rows:
        cells = (str(row[name]).ljust(width) for name, width in zip(names, widths, strict=True))
        line = ("  " + "  ".join(cells)).rstrip()
        echo(line if len(line) <= longest else f"{line[: longest - 1]}…")
