"""`harness list`."""

from __future__ import annotations

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


@click.command("list", short_help=cli.VERBS["list"])
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="So many runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(runs: str, count: int, as_json: bool) -> None:
    """Show the experiments in experiments/ and the latest runs."""
    from harness.config.experiment_file import files
    from harness.runs.find import latest_runs, latest_studies

    experiments = [_experiment(path) for path in files()]
    damaged: list[dict[str, Any]] = []
    every = latest_runs(Path(runs), lambda path, error: damaged.append(_unreadable(path, error.why)))
    latest = [_run(folder) for folder in every[:count]]
    searched = [_study(folder) for folder in latest_studies(Path(runs))]
    if as_json:
        echo_json({"experiments": experiments, "studies": searched, "runs": latest, "unreadable": damaged})
        return
    echo("experiments" if experiments else "no experiments: there is no file in experiments/")
    _print_columns(experiments, ["file", "about"])
    if searched:
        echo("", "studies")
        _print_columns(searched, ["study_dir", "status", "result", "mlflow"])
    if not every:
        echo("", f"no runs in {runs} yet: harness run EXPERIMENT")
        _print_damaged(damaged)
        return
    more = f" ({count} of {len(every)}; -n {len(every)} shows all)" if len(every) > count else ""
    echo("", f"latest runs{more}")
    _print_columns(latest, ["run_dir", "status", "result", "differs", "mlflow"])
    _print_damaged(damaged)
    _print_missing(every)


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

    trials = folder.trials()  # those of this machine, whether the study has ended or not
    done = sum(trial.status in (Status.FINISHED, Status.PRUNED, Status.FAILED) for trial in trials)
    finished = [trial.record for trial in trials if trial.status is Status.FINISHED]
    complete = [(record.accuracy, record.n) for record in finished if record.accuracy is not None]
    result = f"study {folder.record.name}: {done} of {folder.record.trials} trials"
    best = max(complete, key=lambda pair: pair[0], default=None)
    if best is not None:
        result += f", the best {100 * best[0]:.1f} % of {best[1]}"
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


def _print_missing(every: list[RunFolder]) -> None:
    """How many runs MLflow lacks that no process sends at this moment, those that are not shown, too."""
    from harness.trackers.mlflow.state import is_being_sent, is_unsent

    count = sum(is_unsent(folder) and not is_being_sent(folder) for folder in every)
    if count:
        echo(
            "", f"incomplete in MLflow: {count} of {len(every)} runs; the next run or harness ui sends what is missing"
        )


def _run(folder: RunFolder) -> dict[str, Any]:
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
        result += f"  saved: {progress_text(folder, next_progress(folder))} (harness resume {folder.id})"
    elif record.progress is not None and record.progress.fold == 0:
        result += f"  saved: {progress_text(folder, record.progress)} (harness refit {folder.id})"
    return {
        "run_dir": folder.path.as_posix(),
        "status": folder.status,
        "result": result.strip(),
        "accuracy": record.accuracy,
        "differs": _differs(folder),
        "trackers": record.trackers,
        "mlflow": missing_text(folder),
    }


def _differs(folder: RunFolder) -> str:
    """What was typed over the experiment's file, and which folds were trained if not all; of a test, of what."""
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
    """As one types it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_columns(rows: list[dict[str, Any]], names: list[str]) -> None:
    widths = [max((len(str(row[name])) for row in rows), default=0) for name in names]
    for row in rows:
        cells = (str(row[name]).ljust(width) for name, width in zip(names, widths, strict=True))
        echo(("  " + "  ".join(cells)).rstrip())
