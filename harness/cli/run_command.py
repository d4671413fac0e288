"""`harness run`."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import STARTED
from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import UsageError
from harness.trackers.follower import start_early

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.runs.run_folder import RunFolder
    from harness.workflows.crossval import CrossValidation


@click.command("run", short_help=cli.VERBS["run"])
@click.argument("experiment")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a field. May be repeated.")
@click.option(
    "--set-from", type=click.Path(path_type=Path), help="Override the fields that a YAML file has below `set`."
)
@click.option("--fold", type=click.IntRange(min=1), help="Train this fold only (1 is the first).")
@click.option("--fast-dev-run", is_flag=True, help="Go through everything with two batches and one epoch.")
@click.option("--dry-run", is_flag=True, help="Print the plan and every field with its origin; train nothing.")
@click.option("--refit", is_flag=True, help="Then train one model on all images: the model to use.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--require-clean", is_flag=True, help="Refuse if code or data are not as their commit and .dvc file say.")
@click.option("--allow-leak", is_flag=True, help="Go on if images that are judged are also trained on.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or the best there is.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders go to.")
@click.option("--out", help="Write to this folder, the same each time, as DVC wants it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(
    experiment: str,
    settings: tuple[str, ...],
    set_from: Path | None,
    fold: int | None,
    fast_dev_run: bool,
    dry_run: bool,
    refit: bool,
    skip_corrupt: bool,
    allow_leak: bool,
    require_clean: bool,
    device: str,
    runs: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Train EXPERIMENT, a file or the name of one in experiments/, by stratified cross-validation."""
    from harness.config.experiment_file import ExperimentFile, find, folder_name
    from harness.config.settings_file import read_settings

    result = None
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as start:
        # what an experiment's own code prints is no result
        start.enter_context(cli.without_collecting())
        file = ExperimentFile.run(find(experiment))
        typed = {} if set_from is None else read_settings(set_from)
        chosen = file.experiment.override(typed | parse_settings(settings)).named(folder_name(file.path.stem))
        follower = None if dry_run else start_early(chosen.trackers)
        from harness.workflows.crossval import cross_validate
        from harness.workflows.make_plan import make_plan

        plan = make_plan(chosen, fold=fold, skip_corrupt=skip_corrupt, allow_leak=allow_leak, device=device)
        if require_clean:
            from harness.runs import provenance

            provenance.require_clean(provenance.git_state(), plan.dvc, plan.images.root, file.path)
        if fast_dev_run:
            plan = plan.shortened()
        with contextlib.suppress(OSError):  # whoever read stderr has left; that must not end the run
            echo(*plan.lines(), err=True)
        start.close()
        if not dry_run:
            result = cross_validate(
                plan,
                runs=runs,
                source=file,
                follower=follower,
                out=None if out is None else Path(out),
                refit=refit,
            )
    if result is None:
        if as_json:
            echo_json(_resolved(plan.experiment), indent=2)
        else:
            echo(*_table(plan.experiment))
        return
    from harness.runs.run_folder import RunFolder

    folder = RunFolder.open(result.run_dir)
    seconds = time.perf_counter() - STARTED
    if as_json:
        status = {"run_dir": str(result.run_dir), "status": "finished", "fast_dev_run": fast_dev_run}
        status |= {"trackers": folder.record.trackers}
        echo_json({**status, **result.to_dict(), "seconds": round(seconds, 3)})
        return
    echo(*_summary(result, folder, seconds, experiment, fast_dev_run))


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """`("lr=1e-4", ...)` as a dictionary. Raises UsageError where there is no "="."""
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"-s {setting} sets nothing", "it has no '='", "-s key=value, as in -s lr=1e-4")
        parsed[key.strip()] = value.strip()
    return parsed


def _resolved(experiment: Experiment) -> dict[str, Any]:
    values = experiment.to_dict()
    return {name: {"value": value, "origin": experiment.origin(name)} for name, value in values.items()}


def _table(experiment: Experiment) -> list[str]:
    values = experiment.to_dict()
    rows = [
        (item.name, _shown(values[item.name]), experiment.origin(item.name), item.metadata["about"])
        for item in dataclasses.fields(experiment)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def judged_at(crossval: CrossValidation) -> str:
    """Which epoch of each fold is judged, for people."""
    from harness.workflows.crossval import judged_text

    epochs = ", ".join(str(result.epoch) for result in crossval.results)
    return f"{judged_text(crossval.experiment)} ({epochs})"


def _summary(crossval: CrossValidation, folder: RunFolder, seconds: float, typed: str, fast_dev_run: bool) -> list[str]:
    """The last block of a run: what happened, where everything lies, what to type next."""
    from harness.cli.scores_text import abstention_text, calibration_text, class_table, metric_text, noise_text
    from harness.runs.record_parts import leak_text
    from harness.runs.run_folder import COMPLETE

    trackers, has_refit = folder.record.trackers, folder.record.refit is not None
    experiment, numbers = crossval.experiment, crossval.to_dict()
    caveat = leak_text(crossval.leaked, crossval.accuracy.n)
    headline = f"{'out-of-fold' if experiment.folds else 'hold-out'} accuracy {crossval.accuracy}{caveat}"
    if fast_dev_run:
        headline = "everything works; the numbers of a fast dev run mean nothing"
    folds = ", ".join(f"{100 * result.accuracy.value:.1f}" for result in crossval.results) + " %"
    if len(crossval.results) > 1:
        folds += f": mean {100 * numbers['mean']:.2f} %, standard deviation {100 * numbers['deviation']:.2f}"
    guessing = f"{100 * crossval.baseline:.1f} % by always naming the most frequent class"
    if crossval.accuracy.interval[0] <= crossval.baseline:
        guessing += ", which this run does not clearly beat"
    best, value = crossval.best_on_curves, crossval.accuracy.value
    optimistic = f"; their best epochs show {100 * best:.1f} %, which is too good: chosen on the images that judge them"
    by_id = crossval.run_dir.parts[0] == "runs" and crossval.run_dir.name == folder.id
    named = crossval.run_dir.name if by_id else crossval.run_dir  # elsewhere an id says too little
    which = "the model on all images" if has_refit else "its best fold's model"
    after = {} if has_refit or fast_dev_run else {f"harness refit {named}": "the model to use: trained on all images"}
    after |= {"harness ui": "all runs in the browser: TensorBoard and MLflow"} if trackers else {}
    if experiment.tests_other_data:
        after[f"harness test {named} --data FOLDER"] = f"{which} on images that it has not seen"
    elif experiment.test_data and Path(experiment.test_data).is_dir():
        after[f"harness test {named}"] = f"{which} on {experiment.test_data}"
    if experiment.origin("data") != "command line":
        after[f"harness run {typed} -s data=FOLDER"] = "your own images, a folder per class"
    noise, scores = crossval.noise, crossval.scores
    rows = [
        ("guessing", guessing),
        *([("repeats", noise_text(noise))] if noise is not None else []),
        ("folds" if experiment.folds else "accuracy", folds),
        ("judged at", f"{judged_at(crossval)}{optimistic if best > value + 5e-4 else ''}"),
        ("metrics", metric_text(scores)),
        ("calibrated", calibration_text(scores)),
        *(("answers" if i == 0 else "", text) for i, text in enumerate(abstention_text(scores.abstention))),
        *(
            ("stopped", f"fold {result.fold}: {result.stop_reason}")
            for result in crossval.results
            if result.stop_reason
        ),
        ("time", f"{seconds:.0f} s, of which training {crossval.fit_seconds:.0f} s"),
        ("run folder", str(crossval.run_dir)),
        ("checkpoints", str(crossval.results[0].checkpoint.parent)),
        ("plots", str(crossval.run_dir / "plots")),
        *(
            ("missed by", f"{name}: harness sync {crossval.run_dir}")
            for name, has in trackers.items()
            if has != COMPLETE
        ),
        *(("" if i else "next", f"{command:<44}  {what}") for i, (command, what) in enumerate(after.items())),
    ]
    table = [f"  {line}" for line in class_table(scores.per_class)]
    lines = [f"  {name:<11}  {text}" for name, text in rows]
    return ["", f"{experiment.name}: {headline}", *lines[:1], *([] if fast_dev_run else ["", *table, ""]), *lines[1:]]
