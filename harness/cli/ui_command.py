"""`harness ui`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.cli import main as cli
from harness.cli.output import echo
from harness.errors import DataError, UsageError
from harness.util.addresses import short_address


@click.command("ui", short_help=cli.VERBS["ui"])
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--port", type=click.IntRange(1, 65535), help="TensorBoard's. By default 6006, or the next free one.")
@click.option("--mlflow-port", type=click.IntRange(1, 65535), help="MLflow's. By default 5000, or the next free one.")
@click.option("--study", is_flag=True, help="Also start optuna-dashboard over the studies in --storage.")
@click.option("--study-port", type=click.IntRange(1, 65535), help="Its port. By default 8080, or the next free one.")
@click.option(
    "--storage", envvar="HARNESS_STORAGE", default="optuna.journal", show_default=True, help="As for harness search."
)
@click.option("--only", type=click.Choice(["tensorboard", "mlflow"]), help="Start this one alone.")
def command(
    runs: str,
    port: int | None,
    mlflow_port: int | None,
    study: bool,
    study_port: int | None,
    storage: str,
    only: str | None,
) -> None:
    """Start TensorBoard and MLflow on this machine, print their addresses, and stop them on Ctrl-C."""
    from harness.trackers import servers
    from harness.trackers.mlflow import store
    from harness.trackers.mlflow.unsent import send_unsent, send_unsent_studies
    from harness.util.packages import installed

    folder, uri = Path(runs), store.tracking_uri()
    wanted = [only] if only else ["tensorboard", "mlflow"]
    packages = {name: name for name in wanted} | ({"optuna_dashboard": "optuna-dashboard"} if study else {})
    for module, package in packages.items():
        if not installed(module):
            raise UsageError(f"{package} is not installed", "its package is not there", f"pip install {package}")
    if study and "://" not in storage and not Path(storage).is_file():
        raise UsageError(f"there is no study in {storage}", "no such file is there", "harness search EXPERIMENT")
    started, addresses = [], []
    if "tensorboard" in wanted:
        if not folder.is_dir():
            raise DataError(f"{folder} is not there", "nothing has run yet", "harness run quickstart")
        server = servers.tensorboard(folder, servers.free_port(port, 6006, "--port"))
        started.append(server)
        addresses.append(("TensorBoard", server.address, f"all of {folder}"))
    if "mlflow" in wanted:
        if not store.is_server(uri):
            for note in store.require_usable(uri):
                echo(f"warning: {note}", err=True)
        for problem in send_unsent(folder) + send_unsent_studies(folder):
            echo(f"warning: {problem}", err=True)
        if store.is_server(uri):
            whole = short_address(uri) == uri.rstrip("/")
            page = servers.TRAINING_PAGE if whole else ""
            addresses.append(("MLflow", short_address(uri) + page, "as in MLFLOW_TRACKING_URI"))
        else:
            server = servers.mlflow(uri, servers.free_port(mlflow_port, 5000, "--mlflow-port"))
            started.append(server)
            addresses.append(("MLflow", server.address + server.page, short_address(uri)))
    if study:
        server = servers.dashboard(storage, servers.free_port(study_port, 8080, "--study-port"))
        started.append(server)
        addresses.append(("Optuna", server.address + server.page, short_address(storage)))
    names = " and ".join(server.name for server in started)
    if started:
        echo(f"starting {names} ...", err=True)
    with servers.running(started):
        for name, address, what in addresses:
            echo(f"{name:<12} {address}  ({what})")
        if not started:
            return
        echo("Ctrl-C stops", err=True)
        try:
            while True:
                time.sleep(0.5)
                for server in started:
                    server.require_alive()
        except KeyboardInterrupt:
            echo("", f"stopping {names} ...", err=True)
    echo(f"stopped {names}", err=True)
