"""`harness sync`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo
from harness.config.experiment import TRACKERS
from harness.errors import UsageError


@click.command("sync", short_help=cli.VERBS["sync"])
@click.argument("run", nargs=-1)
@click.option("--to", type=click.Choice(TRACKERS), multiple=True, help="Send only to this tracker. May be repeated.")
@click.option("--force", is_flag=True, help="Also send runs marked as running, and to trackers marked as complete.")
@click.option("--runs", default="runs", show_default=True, help="Folder of all runs.")
def command(run: tuple[str, ...], to: tuple[str, ...], force: bool, runs: str) -> None:
    """Send each RUN to the trackers that it was not sent to. RUN is the folder or the id of a run.

    The trackers are those of the experiment, or all trackers if it names none. Sending a run again changes nothing.
    If harness runs has removed runs while MLflow could not be reached, they are now removed from MLflow. This works
    without a RUN, too.
    """
    from harness.runs.find import find_run
    from harness.runs.pending_removals import has_pending
    from harness.util.packages import installed

    if not run and not has_pending():
        why = "harness sync sends the named runs, and there are no removed runs to remove from MLflow"
        raise UsageError("no run was named", why, "harness sync RUN; harness list")
    folders = [find_run(named, Path(runs)) for named in run]
    for name in to:
        if not installed(name):
            raise UsageError(f"{name} is not installed", "its package is missing", f"pip install {name}")
    from harness.trackers.mlflow.model_address import SERVE
    from harness.trackers.sync import sync

    for folder in folders:
        own = [name for name in folder.record.experiment.get("trackers") or TRACKERS if name in TRACKERS]
        if folder.is_test:
            own = ["mlflow"]
        names = [name for name in to or own if installed(name)]
        address = sync(folder, names, force)
        where = f"complete in {' and '.join(names)}" if names else "no tracker is installed"
        echo(f"{folder.path}: {where}")
        if address:
            echo(f"its model: {address}  ({SERVE} {address})")
    _remove_from_mlflow()


def _remove_from_mlflow() -> None:
    """Removes from MLflow the runs that were removed here while MLflow could not be reached."""
    from harness.runs.pending_removals import has_pending, pending_removals
    from harness.util.packages import installed

    if has_pending() and installed("mlflow"):
        from harness.trackers.mlflow.removal import remove_pending
        from harness.trackers.mlflow.store import tracking_uri

        if not pending_removals(tracking_uri()):
            text = "another MLflow store still has some removed runs: set MLFLOW_TRACKING_URI to that store"
            echo(text, err=True)
            return
        removed = remove_pending()
        if removed.runs:
            echo(f"removed from MLflow: {removed.runs} runs, including folds, whose folders were removed before")
        for note in removed.notes:
            echo(f"warning: {note}", err=True)
