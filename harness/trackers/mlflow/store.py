"""Where MLflow's store is, whether it can be used, and what is wrong with it in a person's words."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import unquote

from harness.errors import HarnessError, RemoteError
from harness.runs.records import Origin
from harness.trackers.mlflow.answer import require_answer
from harness.trackers.mlflow.condition import Condition, StoreState, examine
from harness.trackers.mlflow.database import UpgradeError, make_whole, never
from harness.trackers.mlflow.explained import explained, mlflow_version
from harness.util.addresses import address_id, short_address, without_secrets

DEFAULT = "sqlite:///mlflow.db"
ADDRESS = "MLFLOW_TRACKING_URI"
EXPERIMENT, EXPERIMENT_ID, RUN_ID = "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"
PATIENCE = {  # what cannot be reached must cost seconds: MLflow's own patience is 4 minutes, and 20 with a hung server
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a page for maintenance asks for minutes
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
DATABASES = ("postgresql", "mysql", "mssql")  # that MLflow takes, besides SQLite
UPLOAD_SECONDS = 120  # a server may take longer to store a model than to answer
LOCK_SECONDS = 5


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a database in this folder."""
    return os.environ.get(ADDRESS) or DEFAULT


def is_typed() -> bool:
    """Returns whether somebody chose the store, and with it where it keeps files."""
    return bool(os.environ.get(ADDRESS))


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def is_database(uri: str) -> bool:
    """Returns whether it is the address of a database that a server keeps."""
    return uri.partition("://")[0].partition("+")[0] in DATABASES


def recorded(uri: str) -> dict[str, dict[str, str]]:
    """Returns what a record says of the store at `uri`: its address for people, and an id without secrets.

    Also which experiment and run the environment chooses there, so that `harness sync` chooses the same.
    """
    stores, ids = {"mlflow": short_address(uri)}, {"mlflow": address_id(uri)}
    if os.environ.get(EXPERIMENT):
        stores[EXPERIMENT.lower()] = os.environ[EXPERIMENT]
    ids |= {name.lower(): os.environ[name] for name in (EXPERIMENT_ID, RUN_ID) if os.environ.get(name)}
    return {"stores": stores, "store_ids": ids}


def is_recorded(record: Origin, uri: str) -> bool:
    """Returns whether a record's store is the one at `uri`. Older records have no id, but a whole address."""
    known = record.store_ids.get("mlflow") or address_id(record.stores.get("mlflow", ""))
    return bool(known == address_id(uri))


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store, as MLflow finds it: of `%20` it makes a space. None for any other store."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])) if uri.startswith("sqlite:///") else None


def require_store(uri: str) -> StoreState:
    """Returns the condition of an SQLite store; ABSENT for any other store.

    Raises RemoteError if it is damaged, locked or read-only, of a newer MLflow, or another program's: within seconds,
    where MLflow would try for minutes.
    """
    path = sqlite_file(uri)
    if path is None:
        return StoreState(Condition.ABSENT)
    path = Path(os.path.realpath(path))
    _require_writable(uri, path)
    if not path.exists():
        return StoreState(Condition.ABSENT)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as database:
            database.execute("BEGIN IMMEDIATE").close()
            database.rollback()
        state = examine(path)
    except sqlite3.Error as error:
        raise refused(uri, error) from error
    if state.condition is Condition.FOREIGN:
        raise _unusable(
            uri,
            f"it is the database of another program: it holds {', '.join(state.tables)}, and no experiments",
            f"export {ADDRESS}=sqlite:///harness-mlflow.db, or another file",
        )
    if state.condition is Condition.NEWER:
        raise _unusable(
            uri,
            f"a newer version of MLflow made it (schema {state.revision}), and this one is {mlflow_version()}",
            f"pip install --upgrade mlflow; or export {ADDRESS}=sqlite:///harness-mlflow.db, for another store",
        )
    return state


def _require_writable(uri: str, path: Path) -> None:
    """Raises RemoteError if the file, or its folder, where SQLite keeps its journal, may not be written."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            fix = f"chmod u+w {quote(str(place))}, or export {ADDRESS}=sqlite:///FILE in a folder that can be written"
            raise _unusable(uri, f"{place} may not be written", fix)


def _unusable(uri: str, why: str, fix: str) -> RemoteError:
    return RemoteError(f"MLflow at {short_address(uri)} cannot be used", why, fix)


@contextlib.contextmanager
def answering(uri: str) -> Iterator[None]:
    """Whatever MLflow raises within becomes a RemoteError that says what is the matter; what it prints is dropped."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own use of what is deprecated is its own business
            yield
    except HarnessError:  # a record that is damaged, say: that is not MLflow's fault
        raise
    except Exception as error:
        raise refused(uri, error) from error


@contextlib.contextmanager
def time_to_store() -> Iterator[None]:
    """Within, a server that has answered so far may take its time with files."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ.get(name)
    os.environ[name] = str(max(UPLOAD_SECONDS, int(before) if before and before.isdigit() else 0))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def refused(uri: str, error: Exception) -> RemoteError:
    """MLflow's or SQLite's error in three lines."""
    why, fix = explained(uri, str(error) or type(error).__name__, sqlite_file(uri))
    if isinstance(error, UpgradeError) and fix.startswith("harness sync RUN --debug"):
        file = quote(str(sqlite_file(uri)))
        why = f"it holds runs, its tables are not complete, and MLflow cannot complete them ({why}); it is as it was"
        fix = f"mv {file} {file}.damaged, then harness sync RUN for each run: its folder has all"
        if error.earlier is not None:
            earlier = quote(str(error.earlier))
            fix = f"mv {file} {file}.damaged && cp {earlier} {file}, a copy from before; then harness sync RUN"
    return _unusable(uri, why, fix)


def error_line(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, HarnessError):
        return " ".join(f"{error.what}: {error.why}".split())
    text = without_secrets(f"{type(error).__name__}: {error}", tracking_uri())
    return " ".join(f"MLflow cannot be used: {text}".split())


def require_answering(uri: str) -> None:
    """Raises RemoteError unless an SQLite store can be used, or made; or if a database does not answer.

    Imports nothing of MLflow, and asks no server of MLflow.
    """
    with answering(uri):
        require_store(uri)
        if is_database(uri):
            require_answer(uri)


def make_ready(uri: str, stop: Callable[[], bool] = never) -> list[str]:
    """As `require_answering`; then an SQLite store is made, mended or migrated: see `make_whole`. Returns notes."""
    require_answering(uri)
    file = sqlite_file(uri)
    with answering(uri):
        note = "" if file is None else make_whole(file, stop)
    return [note] if note else []


def require_usable(uri: str) -> list[str]:
    """Raises RemoteError unless the store answers; makes its tables where it is new. Returns notes for people."""
    notes: list[str] = []
    client = connect(uri, notes)
    with answering(uri):
        client.search_experiments(max_results=1)
    return notes


def connect(uri: str, notes: list[str] | None = None, stop: Callable[[], bool] = never) -> Any:
    """Returns a client of the store at `uri`. An SQLite file is made, mended or migrated before: see `make_whole`.

    Args:
        uri: The store's address.
        notes: Gets what a person should know: that an unfinished store was set aside, say.
        stop: Gives up the making of a store once it returns True.

    Raises:
        RemoteError: The store cannot be used.
    """
    import logging

    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    made = make_ready(uri, stop)
    if notes is not None:
        notes += made
    with answering(uri):
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)  # that a new store is made is no news
        return MlflowClient(uri)
