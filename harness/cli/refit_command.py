"""`harness refit`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.runs.records import RunRecord
from harness.util.text import counted


@click.command("refit", short_help=cli.VERBS["refit"])
@click.argument("run")
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(run: str, trust: bool, device: str, runs: str, as_json: bool) -> None:
    """Train one model on all images of RUN, with the settings of its folds. Use this model for predictions.

    Its expected accuracy is the accuracy of the run, although the models of the folds had fewer training images. The
    command needs the images and the experiment of the run.
    """
    from harness.runs.find import find_run
    from harness.runs.record_file import to_plain
    from harness.trackers.sync import sync
    from harness.util.packages import installed
    from harness.util.signals import advise
    from harness.workflows.refit import refit_run

    folder = find_run(run, Path(runs))
    record = refit_run(folder, device=device, trusted=trust)
    advise("the model is trained and saved, but MLflow may not have it yet", f"harness sync {run}")
    if as_json:
        echo_json({"run_dir": str(folder.path), **to_plain(record)})
    else:
        echo(f"{folder.record.name}: {refit_text(folder.record)}")
        echo(f"  model       {folder.checkpoint_of(record)}")
        echo(f"  time        {record.seconds:.0f} s")
        data = "" if folder.record.experiment.get("test_data") else " --data FOLDER"
        echo(f"  next        harness test {run}{data}   tests it on images that no model was trained on")
        echo(f"              harness predict {run} PHOTO...   predicts the class of photographs")
    if "mlflow" in (folder.record.experiment.get("trackers") or ()) and installed("mlflow"):
        with cli.only_a_warning():
            sync(folder, ["mlflow"])


def refit_text(record: RunRecord) -> str:
    """One line about the model that was trained on all images, with its expected accuracy."""
    refit = record.refit
    assert refit is not None
    inner = f" and {refit.inner} images of the inner part" if refit.inner else ""
    low, high = (100 * bound for bound in record.interval or (0.0, 1.0))
    return (
        f"one model on {refit.images} images{inner}, {counted(refit.epoch, 'epoch')}; expected accuracy "
        f"{100 * (record.accuracy or 0.0):.1f} % (95 % interval {low:.1f} to {high:.1f} %, n = {record.n}), "
        "from the models of the folds"
    )
