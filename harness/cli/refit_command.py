"""`harness refit`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.runs.records import RunRecord


@click.command("refit", short_help=cli.VERBS["refit"])
@click.argument("run")
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or the best there is.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(run: str, trust: bool, device: str, runs: str, as_json: bool) -> None:
    """Train one model on all images of RUN, as each of its folds was trained. It is the model to use.

    Its expected accuracy is that of the run: the folds' models had fewer images. Needs the run's images and experiment.
    """
    from harness.runs.find import find_run
    from harness.runs.record_file import to_plain
    from harness.trackers.sync import sync
    from harness.util.packages import installed
    from harness.util.signals import advise
    from harness.workflows.refit import refit_run

    folder = find_run(run, Path(runs))
    record = refit_run(folder, device=device, trusted=trust)
    advise("the model is trained and kept; MLflow may not have it yet", f"harness sync {run}")
    if as_json:
        echo_json({"run_dir": str(folder.path), **to_plain(record)})
    else:
        echo(f"{folder.record.name}: {refit_text(folder.record)}")
        echo(f"  model       {folder.checkpoint_of(record)}")
        echo(f"  time        {record.seconds:.0f} s")
        data = "" if folder.record.experiment.get("test_data") else " --data FOLDER"
        echo(f"  next        harness test {run}{data}   tests it on images that no model has seen")
        echo(f"              harness predict {run} PHOTO...   which class photographs are")
    if "mlflow" in (folder.record.experiment.get("trackers") or ()) and installed("mlflow"):
        with cli.only_a_warning():
            sync(folder, ["mlflow"])


def refit_text(record: RunRecord) -> str:
    """What the model on all images is worth, for people."""
    refit = record.refit
    assert refit is not None
    inner = f" and {refit.inner} that steered it" if refit.inner else ""
    low, high = (100 * bound for bound in record.interval or (0.0, 1.0))
    return (
        f"one model on {refit.images} images{inner}, {refit.epoch} epochs; expected accuracy "
        f"{100 * (record.accuracy or 0.0):.1f} % (95 % interval {low:.1f} to {high:.1f} %, n = {record.n}), "
        "that of the folds' models"
    )
