"""Finds MLflow's store, checks that it can be used, and turns its errors into plain words."""

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
from harness.util.text import see

DEFAULT = "sqlite:///mlflow.db"
ADDRESS = "MLFLOW_TRACKING_URI"
EXPERIMENT, EXPERIMENT_ID, RUN_ID = "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"
PATIENCE = {  # an unreachable store must cost only seconds: MLflow waits 4 minutes, and 20 for a server that hangs
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a maintenance page asks to wait for minutes
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
DATABASES = ("postgresql", "mysql", "mssql")  # that MLflow supports, besides SQLite
UPLOAD_SECONDS = 120  # a server may take longer to store a model than to answer
LOCK_SECONDS = 5


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or by default a database in the current folder."""
    return os.environ.get(ADDRESS) or DEFAULT


def is_typed() -> bool:
    """Returns whether the user chose the store, and so where it keeps files."""
    return bool(os.environ.get(ADDRESS))


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def is_database(uri: str) -> bool:
    """Returns whether it is the address of a database server."""
    return uri.partition("://")[0].partition("+")[0] in DATABASES


def recorded(uri: str) -> dict[str, dict[str, str]]:
    """Returns what a record keeps about the store at `uri`: its address without secrets, and an id.

    Also the experiment and the run that the environment chooses, so that `harness sync` chooses the same.
    """
    stores, ids = {"mlflow": short_address(uri)}, {"mlflow": address_id(uri)}
    if os.environ.get(EXPERIMENT):
        stores[EXPERIMENT.lower()] = os.environ[EXPERIMENT]
    ids |= {name.lower(): os.environ[name] for name in (EXPERIMENT_ID, RUN_ID) if os.environ.get(name)}
    return {"stores": stores, "store_ids": ids}


def is_recorded(record: Origin, uri: str) -> bool:
    """Returns whether a record's store is the one at `uri`. Records of earlier versions have an address and no id."""
    known = record.store_ids.get("mlflow") or address_id(record.stores.get("mlflow", ""))
    return bool(known == address_id(uri))


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other store. `%20` in the address is a space, as in MLflow."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])) if uri.startswith("sqlite:///") else None


def require_store(uri: str) -> StoreState:
    """Returns the condition of an SQLite store; ABSENT for any other store.

    Takes seconds; MLflow would try for minutes.

    Raises:
        RemoteError: It is damaged, locked or read-only, or made by a newer MLflow or another program.
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
            f"it is the database of another program: it has the tables {', '.join(state.tables)}, but no experiments",
            f"export {ADDRESS}=sqlite:///harness-mlflow.db, or another file",
        )
    if state.condition is Condition.NEWER:
        raise _unusable(
            uri,
            f"a newer version of MLflow made it (schema {state.revision}); this one is {mlflow_version()}",
            f"pip install --upgrade mlflow; or export {ADDRESS}=sqlite:///harness-mlflow.db, for another store",
        )
    return state


def _require_writable(uri: str, path: Path) -> None:
    """Raises RemoteError if the file or its folder is read-only. SQLite writes a journal beside the file."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            fix = f"chmod u+w {quote(str(place))}, or export {ADDRESS}=sqlite:///FILE in a folder that can be written"
            raise _unusable(uri, f"{place} is read-only", fix)


def _unusable(uri: str, why: str, fix: str) -> RemoteError:
    return RemoteError(f"MLflow at {short_address(uri)} cannot be used", why, f"{fix}; {see('scale-out')}")


@contextlib.contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turns each error of MLflow in this block into a RemoteError with an explanation, and drops MLflow's output."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own uses of deprecated functions do not concern the user
            yield
    except HarnessError:  # not an error of MLflow: a damaged record, for example
        raise
    except Exception as error:
        raise refused(uri, error) from error


@contextlib.contextmanager
def time_to_store() -> Iterator[None]:
    """In this block, a server gets more time to answer, because it stores files."""
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
        why = f"it holds runs, its tables are incomplete, and MLflow cannot complete them ({why}); it is unchanged"
        fix = f"mv {file} {file}.damaged, then harness sync RUN for each run, which makes a new store"
        if error.earlier is not None:
            earlier = quote(str(error.earlier))
            fix = f"mv {file} {file}.damaged && cp {earlier} {file}, an earlier copy; then harness sync RUN"
    return _unusable(uri, why, fix)


def error_line(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, HarnessError):
        return " ".join(f"{error.what}: {error.why}".split())
    text = without_secrets(f"{type(error).__name__}: {error}", tracking_uri())
    return " ".join(f"MLflow cannot be used: {text}".split())


def require_answering(uri: str) -> None:
    """Raises RemoteError if an SQLite store can be neither used nor made, or if a database server does not answer.

    Does not import MLflow, and does not ask an MLflow server.
    """
    with answering(uri):
        require_store(uri)
        if is_database(uri):
            require_answer(uri)


def make_ready(uri: str, stop: Callable[[], bool] = never) -> list[str]:
    """Does what `require_answering` does, then makes, completes or migrates an SQLite store: see `make_whole`.

    Returns warnings for the user.
    """
    require_answering(uri)
    file = sqlite_file(uri)
    with answering(uri):
        warning = "" if file is None else make_whole(file, stop)
    return [warning] if warning else []


def require_usable(uri: str) -> list[str]:
    """Raises RemoteError if the store does not answer. Makes a new store's tables. Returns warnings for the user."""
    lines: list[str] = []
    client = connect(uri, lines)
    with answering(uri):
        client.search_experiments(max_results=1)
    return lines


def connect(uri: str, lines: list[str] | None = None, stop: Callable[[], bool] = never) -> Any:
    """Returns a client of the store at `uri`. First makes, completes or migrates an SQLite file: see `make_whole`.

    Args:
        uri: The store's address.
        lines: Gets warnings for the user, for example that an unfinished store was renamed.
        stop: Once it returns True, a store that is being made is given up.

    Raises:
        RemoteError: The store cannot be used.
    """
    import logging

    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    made = make_ready(uri, stop)
    if lines is not None:
        lines += made
    with answering(uri):
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)  # otherwise they log each step of making a store
        return MlflowClient(uri)
