"""TensorBoard, MLflow and optuna-dashboard as servers on this machine: started together, and stopped together.

Each receives a socket that listens already, as its standard input. So no other program can take its port while it
starts, and a page that is opened before its server is ready waits for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from harness.errors import HarnessError, UsageError
from harness.trackers.hosts import HOST, NAMES, names_of, own_url, url
from harness.trackers.latest_pages import mlflow_page, tensorboard_page
from harness.trackers.mlflow.store import sqlite_file
from harness.util.addresses import short_address, without_secrets
from harness.util.processes import kill_tree, python_module
from harness.util.signals import at_once

BACKLOG = 128  # connections that wait until a server is ready
NEAREST = 20  # ports that are tried above one that is in use
READY_SECONDS = 120.0  # a new MLflow store takes half a minute on a slow machine
STOP_SECONDS = 1.5  # for all together, before they are killed
LAST_LINES = 3
PASSIVE = socket.AI_PASSIVE
MLFLOW_HOSTS, MLFLOW_ORIGINS = "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
ODD = re.compile(r"[%?#]")  # in a path, where MLflow's server takes it for a part of an address
LINK = "store.db"  # leads to a store whose path is odd
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine's own servers


@dataclass
class Server:
    """One server process. Its output is kept, and shown only if it fails."""

    name: str
    command: list[str]
    port: int
    health: str  # a path that answers once it is ready
    page: str = "/"  # the one to open
    about: str = ""  # what that page shows, for people
    environment: dict[str, str] = field(default_factory=dict)
    apart: bool = False  # in an empty folder: it starts further processes, which would look for modules in the project
    links: dict[str, Path] = field(default_factory=dict)  # what that folder has: a name -> where it leads
    listener: socket.socket | None = None  # on the port, for the process
    host: str = HOST  # that it listens on
    process: subprocess.Popen[bytes] | None = None
    folder: tempfile.TemporaryDirectory[str] | None = None
    log: IO[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of its first page, from the machine that it runs on or from another one."""
        return url(self.host, self.port)

    def start(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - for the life of the process
        self.folder = tempfile.TemporaryDirectory() if self.apart else None
        if self.folder is not None:
            for name, target in self.links.items():
                Path(self.folder.name, name).symlink_to(target)
        self.process = subprocess.Popen(
            self.command,
            cwd=None if self.folder is None else self.folder.name,
            stdin=subprocess.DEVNULL if self.listener is None else self.listener.fileno(),
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, NAMES: ",".join(names_of(self.host)), **self.environment},
            start_new_session=os.name == "posix",  # Ctrl-C is ours to answer, for it and its workers
        )
        self.close()

    def close(self) -> None:
        """Closes the socket of the port here. The process, if it runs, keeps it."""
        if self.listener is not None:
            self.listener.close()

    def ready(self) -> bool:
        """Whether it answers. Raises HarnessError if it has ended instead."""
        self.require_alive()
        try:
            with DIRECT.open(own_url(self.host, self.port) + self.health, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def require_alive(self) -> None:
        code = self.process.poll() if self.process is not None else None
        if code is not None:
            raise HarnessError(
                f"{self.name} has ended with exit code {code}", self._last_lines(), f"{' '.join(self.command)}"
            )

    def end(self, number: int) -> None:
        """Sends the signal to it and to its workers."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                if os.name == "posix":
                    os.killpg(self.process.pid, number)
                else:
                    kill_tree(self.process.pid)  # Windows has no groups of processes

    def stopped(self, seconds: float) -> bool:
        """Whether it ends within that time."""
        if self.process is not None:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
        if self.log is not None:
            self.log.close()
        if self.folder is not None:
            self.folder.cleanup()
        return True

    def _last_lines(self) -> str:
        assert self.log is not None
        self.log.seek(0)
        lines = [line for line in self.log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return without_secrets(" | ".join(lines[-LAST_LINES:]), *self.environment.values()) or "it said nothing"


def tensorboard(runs: Path, at: int | socket.socket, host: str = HOST) -> Server:
    """TensorBoard over all event files below `runs`, on a port or on a socket of `listen`."""
    port, listener = _place(at)
    own = ["--port", str(port)] if listener is None else []
    module = python_module("harness.trackers.tensorboard.server", *(["--listener"] if listener else []))
    command = [*module, "--logdir", str(runs), "--reload_interval", "2", "--host", host, *own]
    page, name = tensorboard_page(runs)
    about = f"{name}; clear the filter of runs to see all of {runs}" if name else f"all of {runs}"
    return Server("TensorBoard", command, port, "/data/environment", page, about, listener=listener, host=host)


def mlflow(uri: str, at: int | socket.socket, host: str = HOST) -> Server:
    """MLflow's pages over the store `uri`, on a port or on a socket of `listen`.

    Its job workers, which use 2 GB of memory and which harness does not need, stay off.
    """
    port, listener = _place(at)
    module = python_module("mlflow", "server", "--workers", "1", *(["--uvicorn-opts", "--fd 0"] if listener else []))
    file, store, links = sqlite_file(uri), uri, {}
    if file is not None and ODD.search(str(file.absolute())):
        store, links = f"sqlite:///{LINK}", {LINK: file.absolute()}
    elif file is not None:
        store = f"sqlite:///{file.absolute().as_posix()}"
    files = Path("mlartifacts").absolute()
    environment = {"MLFLOW_BACKEND_STORE_URI": store}  # not among the arguments, which all on the machine can read
    environment |= {"MLFLOW_ARTIFACTS_DESTINATION": files.as_uri() if ODD.search(str(files)) else str(files)}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    names = names_of(host)
    allowed = {MLFLOW_HOSTS: ["localhost", "127.0.0.1", *names], MLFLOW_ORIGINS: [f"http://{name}" for name in names]}
    for variable, values in allowed.items():
        given = [os.environ[variable]] if names and os.environ.get(variable) else []
        environment[variable] = ",".join([*values, *(f"{value}:*" for value in values), *given])
    command = [*module, "--host", host, "--port", str(port)]
    page, name = mlflow_page(uri)
    about = f"the runs of {name}, in {short_address(uri)}" if name else short_address(uri)
    return Server("MLflow", command, port, "/health", page, about, environment, True, links, listener, host)


def dashboard(storage: str, at: int | socket.socket, host: str = HOST) -> Server:
    """optuna-dashboard over all studies in a storage, on a port or on a socket of `listen`."""
    port, listener = _place(at)
    command = python_module("harness.tuning.dashboard", *(["--listener"] if listener else [host, str(port)]))
    environment = {"HARNESS_STORAGE": storage}  # not among the arguments, which all on the machine can read
    about = short_address(storage)
    return Server(
        *("optuna-dashboard", command, port, "/api/studies", "/dashboard/", about, environment),
        listener=listener,
        host=host,
    )


def predict_page(checkpoint: Path, source: str, trusted: bool, at: int | socket.socket, host: str = HOST) -> Server:
    """The page that predicts photographs with the model in a checkpoint, on a port or on a socket of `listen`."""
    port, listener = _place(at)
    place = ["--listener"] if listener else [host, str(port)]
    own = [str(checkpoint), source, *place, *(["--trust"] if trusted else [])]
    command = python_module("harness.cli.predict_page", *own)
    return Server("the page for photographs", command, port, "/about", "/", source, listener=listener, host=host)


def _place(at: int | socket.socket) -> tuple[int, socket.socket | None]:
    return (at, None) if isinstance(at, int) else (at.getsockname()[1], at)


def listen(wanted: int | None, default: int, option: str, host: str = HOST) -> int | socket.socket:
    """A socket that listens on the port `wanted`, or on the first free one from `default` up.

    On Windows, where a process cannot take one as its standard input, the number of the port. Raises UsageError if the
    port that is wanted is in use, or if this machine has no address `host`.
    """
    listener = _bound(wanted, default, option, host)
    if os.name == "posix":
        return listener
    with listener:
        return int(listener.getsockname()[1])


def free_port(wanted: int | None, default: int, option: str) -> int:
    """The port of `listen`, which is free at this moment."""
    with _bound(wanted, default, option, HOST) as listener:
        return int(listener.getsockname()[1])


def _bound(wanted: int | None, default: int, option: str, host: str) -> socket.socket:
    try:
        family, *_, (address, *_) = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.bind((address, 0))
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        why = f"it is no address of this machine: {why}"
        raise UsageError(f"--host {host} cannot be used", why, "harness ui, or harness ui --host 0.0.0.0") from error
    for port in [wanted] if wanted is not None else range(default, default + NEAREST):
        listener = socket.socket(family)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which the connections inherit
        try:
            listener.bind((address, port))
            listener.listen(BACKLOG)
            return listener
        except (OSError, OverflowError) as error:
            last = error
            listener.close()
    raise UsageError(
        f"port {default if wanted is None else wanted} cannot be used",
        f"{getattr(last, 'strerror', None) or last}",
        f"another number for {option}, or leave {option} out for the next free port",
    )


@contextlib.contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """Starts all and waits until each answers; stops all at the end, whatever it is."""
    with at_once(kill=lambda: _end(servers)):
        try:
            for server in servers:
                server.start()
            _wait_for(servers)
            yield
        finally:
            _stop(servers)


def _wait_for(servers: Sequence[Server]) -> None:
    """Waits until each answers. Raises HarnessError if one ends instead, or does not answer for two minutes."""
    deadline = time.monotonic() + READY_SECONDS
    waiting = list(servers)
    while waiting:
        waiting = [server for server in waiting if not server.ready()]
        if waiting and time.monotonic() > deadline:
            raise HarnessError(
                f"{waiting[0].name} does not answer", f"waited {READY_SECONDS:.0f} s", " ".join(waiting[0].command)
            )
        time.sleep(0.2)


def _end(servers: Sequence[Server]) -> None:
    """Ends all with their workers, at once."""
    for server in servers:
        server.end(9)


def _stop(servers: Sequence[Server]) -> None:
    """Ends all with their workers: politely, then not. A second Ctrl-C changes nothing of that."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        left = list(servers)
        for number in (15, 9):  # SIGTERM, SIGKILL
            for server in left:
                server.end(number)
            deadline = time.monotonic() + STOP_SECONDS
            left = [server for server in left if not server.stopped(max(0.0, deadline - time.monotonic()))]
        _end(servers)  # workers that have outlived it
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
