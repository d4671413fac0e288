"""`harness ui`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo
from harness.errors import DataError, RemoteError, UsageError
from harness.trackers.hosts import HOST, exposure_warning, forwarding
from harness.util.addresses import short_address

if TYPE_CHECKING:
    from harness.trackers.servers import Server


@click.command("ui", short_help=cli.VERBS["ui"])
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on; 0.0.0.0 opens the pages to all.")
@click.option("--port", type=click.IntRange(1, 65535), help="TensorBoard's. By default 6006, or the next free one.")
@click.option("--mlflow-port", type=click.IntRange(1, 65535), help="MLflow's. By default 5000, or the next free one.")
@click.option("--study", is_flag=True, help="Also start optuna-dashboard over the studies in --storage.")
@click.option("--study-port", type=click.IntRange(1, 65535), help="Its port. By default 8080, or the next free one.")
@click.option(
    "--storage", envvar="HARNESS_STORAGE", default="optuna.journal", show_default=True, help="As for harness search."
)
@click.option(
    "--predict",
    metavar="[MODEL]",
    is_flag=False,
    flag_value="",
    help="Also a page that predicts photographs with MODEL, as for harness test. By default the champion, or the "
    "latest finished run.",
)
@click.option("--predict-port", type=click.IntRange(1, 65535), help="Its port. By default 8090, or the next free one.")
@cli.trust_option
@click.option("--only", type=click.Choice(["tensorboard", "mlflow", "predict"]), help="Start only this one.")
def command(
    runs: str,
    host: str,
    port: int | None,
    mlflow_port: int | None,
    study: bool,
    study_port: int | None,
    storage: str,
    predict: str | None,
    predict_port: int | None,
    trust: bool,
    only: str | None,
) -> None:
    """Start TensorBoard and MLflow on this machine, print their addresses, and stop them on Ctrl-C.

    Each address opens on the latest run. Over SSH, the command that forwards the ports is printed, too.

    With --predict, also a page to drop photographs on, which shows the probability of each class. It stores nothing.

    A page that is opened before its server is ready waits for it. Runs that MLflow lacks are sent in the background.
    """
    from harness.trackers import servers
    from harness.trackers.latest_pages import ALL_EXPERIMENTS
    from harness.trackers.mlflow import store
    from harness.util.packages import installed

    folder, uri = Path(runs), store.tracking_uri()
    wanted = [only] if only else ["tensorboard", "mlflow"]
    packages = {name: name for name in wanted if name != "predict"} | (
        {"optuna_dashboard": "optuna-dashboard"} if study else {}
    )
    for module, package in packages.items():
        if not installed(module):
            raise UsageError(f"{package} is not installed", "its package is not there", f"pip install {package}")
    if study and "://" not in storage and not Path(storage).is_file():
        raise UsageError(f"there is no study in {storage}", "no such file is there", "harness search EXPERIMENT")
    with contextlib.ExitStack() as ports:  # after an error, closes those that no process has
        started: list[Server] = []
        addresses = []

        def add(title: str, server: Server) -> None:
            ports.callback(server.close)
            started.append(server)
            addresses.append((title, server.address + ("" if server.page == "/" else server.page), server.about))

        if "tensorboard" in wanted:
            if not folder.is_dir():
                raise DataError(f"{folder} is not there", "nothing has run yet", "harness run quickstart")
            add("TensorBoard", servers.tensorboard(folder, servers.listen(port, 6006, "--port", host), host))
        if "mlflow" in wanted and store.is_server(uri):
            is_whole = short_address(uri) == uri.rstrip("/")
            page = ALL_EXPERIMENTS if is_whole else ""
            addresses.append(("MLflow", short_address(uri) + page, "as in MLFLOW_TRACKING_URI"))
        elif "mlflow" in wanted:
            try:
                store.require_answering(uri)
            except RemoteError as error:
                error.fix += "" if only else "; or harness ui --only tensorboard"
                raise
            add("MLflow", servers.mlflow(uri, servers.listen(mlflow_port, 5000, "--mlflow-port", host), host))
        if study:
            add("Optuna", servers.dashboard(storage, servers.listen(study_port, 8080, "--study-port", host), host))
        if predict is not None or "predict" in wanted:
            from harness.workflows.find_model import find_model_file

            checkpoint, source = find_model_file(predict or None, folder)
            at = servers.listen(predict_port, 8090, "--predict-port", host)
            add("Photographs", servers.predict_page(checkpoint, source, trust, at, host))
        for title, address, about in addresses:
            echo(f"{title:<12} {address}", f"{'':<12} ({about})")
        if started:
            for line in exposure_warning(host) or forwarding([server.port for server in started], host):
                echo(line, err=True)
        if "mlflow" in wanted and not store.is_server(uri):
            for note in store.make_ready(uri):
                echo(f"warning: {note}", err=True)
        _serve(started, folder if "mlflow" in wanted else None)


def _serve(started: list[Server], unsent: Path | None) -> None:
    """Runs servers until Ctrl-C; a process sends what MLflow lacks of the runs in `unsent`."""
    from harness.trackers import servers

    names = " and ".join(server.name for server in started)
    if started:
        echo(f"starting {names} ...", err=True)
    with servers.running(started):
        if unsent is not None:
            _send_earlier(unsent)
        if not started:
            return
        try:
            echo("ready; Ctrl-C stops", err=True)  # from here on it is no error
            while True:
                time.sleep(0.5)
                for server in started:
                    server.require_alive()
        except KeyboardInterrupt:
            echo("", f"stopping {names} ...", err=True)
    echo(f"stopped {names}", err=True)


def _send_earlier(runs: Path) -> None:
    """Starts a process that sends what MLflow lacks of the runs; its output is printed here."""
    from harness.trackers.catch_up import start_catching_up

    count = start_catching_up(runs, lambda line: echo(line, err=True))
    if count:
        echo(f"sending {count} earlier run{'s' * (count > 1)} to MLflow in the background", err=True)
