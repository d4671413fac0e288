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
@click.option("--to", type=click.Choice(TRACKERS), multiple=True, help="Only this one. May be repeated.")
@click.option("--force", is_flag=True, help="Also a run that says that it runs; and a tracker that seems to have all.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
def command(run: tuple[str, ...], to: tuple[str, ...], force: bool, runs: str) -> None:
    """Send each RUN, a run folder or the id of one, to the trackers that missed it.

    By default these are the trackers that the experiment names, or all where it names none. Sending a run again changes
    nothing. What harness runs has removed while MLflow could not be reached is removed there now, also without a RUN.
    """
    from harness.runs.find import find_run
    from harness.runs.pending_removals import has_pending
    from harness.util.packages import installed

    if not run and not has_pending():
        why = "it sends the runs that are named; MLflow has nothing of what was removed here"
        raise UsageError("no run is named", why, "harness sync RUN; harness list shows the latest runs")
    folders = [find_run(named, Path(runs)) for named in run]
    for name in to:
        if not installed(name):
            raise UsageError(f"{name} is not installed", "its package is not there", f"pip install {name}")
    from harness.trackers.mlflow.model_address import SERVE
    from harness.trackers.sync import sync

    for folder in folders:
        own = [name for name in folder.record.experiment.get("trackers") or TRACKERS if name in TRACKERS]
        if folder.is_test:
            own = ["mlflow"]
        names = [name for name in to or own if installed(name)]
        address = sync(folder, names, force)
        where = f"all of it is in {' and '.join(names)}" if names else "no tracker is installed"
        echo(f"{folder.path}: {where}")
        if address:
            echo(f"its model: {address}  ({SERVE} {address})")
    _remove_from_mlflow()


def _remove_from_mlflow() -> None:
    """Removes what was removed here while MLflow could not be reached."""
    from harness.runs.pending_removals import has_pending, pending_removals
    from harness.util.packages import installed

    if has_pending() and installed("mlflow"):
        from harness.trackers.mlflow.removal import remove_pending
        from harness.trackers.mlflow.store import tracking_uri

        if not pending_removals(tracking_uri()):
            echo(
                "what was removed here is still in another store of MLflow: MLFLOW_TRACKING_URI names a store", err=True
            )
            return
        removed = remove_pending()
        if removed.runs:
            echo(f"removed from MLflow: {removed.runs} runs, folds included, whose folders were removed before")
        for note in removed.notes:
            echo(f"warning: {note}", err=True)
