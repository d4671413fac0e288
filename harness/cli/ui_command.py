"""`harness ui`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.cli import main as cli
from harness.errors import DataError, UsageError
from harness.redact import shown


@click.command("ui", short_help=cli.VERBS["ui"])
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--port", type=click.IntRange(1, 65535), help="TensorBoard's. By default 6006, or the next free one.")
@click.option("--mlflow-port", type=click.IntRange(1, 65535), help="MLflow's. By default 5000, or the next free one.")
@click.option("--only", type=click.Choice(["tensorboard", "mlflow"]), help="Start this one alone.")
def command(runs: str, port: int | None, mlflow_port: int | None, only: str | None) -> None:
    """Start TensorBoard and MLflow on this machine, print their addresses, and stop both on Ctrl-C."""
    from harness import servers
    from harness.trackers.follower import installed
    from harness.trackers.mlflow import store
    from harness.trackers.mlflow.run import settle
    from harness.trackers.mlflow.study import settle_studies

    folder, uri = Path(runs), store.tracking_uri()
    wanted = [only] if only else ["tensorboard", "mlflow"]
    for name in wanted:
        if not installed(name):
            raise UsageError(f"{name} is not installed", "its package is not there", f"pip install {name}")
    started, addresses = [], []
    if "tensorboard" in wanted:
        if not folder.is_dir():
            raise DataError(f"{folder} is not there", "nothing has run yet", "harness run quickstart")
        server = servers.tensorboard(folder, servers.free_port(port, 6006, "--port"))
        started.append(server)
        addresses.append(("TensorBoard", server.address, f"all of {folder}"))
    if "mlflow" in wanted:
        if not store.is_server(uri):
            store.require_usable(uri)
        for problem in settle(folder) + settle_studies(folder):
            click.echo(f"warning: {problem}", err=True)
        if store.is_server(uri):
            addresses.append(("MLflow", shown(uri).rstrip("/") + servers.TRAINING_PAGE, "MLFLOW_TRACKING_URI"))
        else:
            server = servers.mlflow(uri, servers.free_port(mlflow_port, 5000, "--mlflow-port"))
            started.append(server)
            addresses.append(("MLflow", server.address + server.page, shown(uri)))
    names = " and ".join(server.name for server in started)
    if started:
        click.echo(f"starting {names} ...", err=True)
    with servers.running(started):
        for name, address, what in addresses:
            click.echo(f"{name:<12} {address}  ({what})")
        if not started:
            return
        click.echo("Ctrl-C stops", err=True)
        try:
            while True:
                time.sleep(0.5)
                for server in started:
                    server.require_alive()
        except KeyboardInterrupt:
            click.echo(f"\nstopping {names} ...", err=True)
    click.echo(f"stopped {names}", err=True)
