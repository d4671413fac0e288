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
from harness.cli.output import echo, echo_fitting, echo_json
from harness.cli.run_text import print_result
from harness.errors import UsageError
from harness.trackers.follower import start_early

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.runs.run_folder import RunFolder

LATEST = "the latest"  # what --resume without a value means


@click.command("run", short_help=cli.VERBS["run"])
@click.argument("experiment")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a field. May be repeated.")
@click.option(
    "--set-from", type=click.Path(path_type=Path), help="Override the fields that a YAML file has below `set`."
)
@click.option("--fold", type=click.IntRange(min=1), help="Train this fold only (1 is the first).")
@click.option(
    "--fast-dev-run", is_flag=True, help="Run every step once, with two batches and one epoch, to find errors."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and every field with its origin; train nothing.")
@click.option("--refit", is_flag=True, help="Then train one model on all images: the model to use.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--require-clean", is_flag=True, help="Stop if code or data differ from their commit or .dvc file.")
@click.option("--allow-leak", is_flag=True, help="Continue if validation or test images are also training images.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders go to.")
@click.option("--out", help="Write to this folder, in the place of an earlier run (for DVC).")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=LATEST,
    metavar="[RUN]",
    help="Continue RUN, or the latest unfinished run of EXPERIMENT, if there is one.",
)
@click.option(
    "--force", is_flag=True, help="Continue although the experiment or the images have changed; it is recorded."
)
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
    resume: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train EXPERIMENT, a file or the name of one in experiments/, by stratified cross-validation."""
    from harness.config.experiment_file import ExperimentFile, find, folder_name
    from harness.config.settings_file import read_settings
    from harness.util.files import require_writable

    result, resume_state = None, None
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as start:
        # only the result goes to stdout, and nothing that the experiment's code prints
        start.enter_context(cli.without_collecting())
        file = ExperimentFile.run(find(experiment))
        typed = {} if set_from is None else read_settings(set_from)
        chosen = file.experiment.override(typed | parse_settings(settings)).named(folder_name(file.path.stem))
        folder = None if resume is None else _to_resume(resume, chosen, fold, Path(runs), out)
        if not dry_run:
            require_writable(Path(out or Path(runs, chosen.name or "experiment")))
        follower = None if dry_run else start_early(chosen.trackers)
        from harness.workflows.crossval import cross_validate
        from harness.workflows.make_plan import make_plan

        plan = make_plan(chosen, fold=fold, skip_corrupt=skip_corrupt, allow_leak=allow_leak, device=device)
        if require_clean:
            from harness.runs import provenance

            provenance.require_clean(provenance.git_state(), plan.dvc, plan.images.root, file.path)
        if fast_dev_run:
            plan = plan.shortened()
        if folder is not None:
            from harness.workflows.resume import compare_with

            unfinished = compare_with(folder, plan, file)
            resume_state = unfinished.resume(force)
        with contextlib.suppress(OSError):  # the reader of stderr has ended; the run continues
            echo_fitting(*plan.lines(), *([] if folder is None else unfinished.lines()), err=True)
        start.close()
        if not dry_run:
            result = cross_validate(
                plan,
                runs=runs,
                source=file,
                follower=follower,
                out=None if out is None else Path(out),
                refit=refit,
                resume=resume_state,
            )
    if result is None:
        if as_json:
            echo_json(_resolved(plan.experiment), indent=2)
        else:
            echo(*_table(plan.experiment))
        return
    seconds = time.perf_counter() - STARTED
    print_result(result, seconds, experiment, fast_dev_run, as_json)


def _to_resume(named: str, experiment: Experiment, fold: int | None, runs: Path, out: str | None) -> RunFolder | None:
    """The unfinished run that --resume means; None, with a message, if there is none. Raises UsageError."""
    from harness.runs.run_folder import RunFolder
    from harness.runs.unfinished import UNFINISHED
    from harness.workflows.resume import latest_unfinished, unfinished_run

    if named != LATEST:
        return unfinished_run(named, runs)
    if out is not None:
        old = RunFolder.open(Path(out)) if (Path(out) / RunFolder.FILE).is_file() else None
        folder = old if old is not None and old.status in UNFINISHED else None
    else:
        folder = latest_unfinished(experiment, runs, fold)
    if folder is None:
        where = out or runs
        echo(f"no unfinished run of {experiment.name} with these settings in {where}: a new one begins", err=True)
    return folder


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
        (item.name, _cell(values[item.name]), experiment.origin(item.name), item.metadata["about"])
        for item in dataclasses.fields(experiment)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
