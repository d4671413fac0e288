"""`harness resume`."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import click

from harness import STARTED
from harness.cli import main as cli
from harness.cli.output import echo_fitting
from harness.cli.run_text import print_result


@click.command("resume", short_help=cli.VERBS["resume"])
@click.argument("run")
@click.option("--force", is_flag=True, help="Continue even if the images have changed. The run's record says so.")
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(run: str, force: bool, trust: bool, device: str, runs: str, as_json: bool) -> None:
    """Continue the interrupted RUN from its last saved state. RUN is the folder or the id of a run.

    Finished folds are not trained again. On the same kind of CPU, the result is bit for bit the result of a run without
    an interruption.
    """
    with contextlib.redirect_stdout(sys.stderr):
        from harness.workflows.crossval import cross_validate
        from harness.workflows.reproduce import plan_again
        from harness.workflows.resume import compare_with, unfinished_run

        folder = unfinished_run(run, Path(runs))
        record = folder.record
        plan = plan_again(folder, device, trust, other_images=True)
        unfinished = compare_with(folder, plan)
        resume = unfinished.resume(force)
        with contextlib.suppress(OSError):  # the reader of stderr may have left
            echo_fitting(*plan.lines(), *unfinished.lines(), err=True)
        result = cross_validate(plan, runs=runs, refit=bool(record.asked.get("refit")), resume=resume)
    print_result(result, time.perf_counter() - STARTED, None, record.fast_dev_run, as_json)
