"""Explains errors of a store in plain words. MLflow's errors wrap those of SQLAlchemy, drivers and the system."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from harness.util.addresses import short_address, without_secrets

ANOTHER = "export MLFLOW_TRACKING_URI=ADDRESS"
MISSING = re.compile(r"No module named '([\w.]+)'")
PACKAGES = {"psycopg2": "psycopg2-binary", "psycopg": "'psycopg[binary]'", "MySQLdb": "mysqlclient"}


def explained(uri: str, text: str, file: Path | None) -> tuple[str, str]:
    """Returns (why, what to type) for the text of an error.

    Args:
        uri: The store's address.
        text: The error's text.
        file: The store's file, if it is an SQLite store.
    """
    typed = short_address(uri) if file else "$MLFLOW_TRACKING_URI"
    schema = re.search(r"found version (\w+), but expected (\w+)", text)
    unknown = re.search(r"Can't locate revision identified by '(\w+)'", text)
    if schema or unknown:
        revision = (schema or unknown or [""])[1]
        return (
            f"another version of MLflow made it (schema {revision}); this one is {mlflow_version()}",
            f"pip install --upgrade mlflow, if the other version is newer; mlflow db upgrade {typed}, if it is older",
        )
    if missing := MISSING.search(text):
        package = PACKAGES.get(missing[1], missing[1].partition(".")[0])
        return f"its driver, {missing[1]}, is not installed", f"pip install {package}"
    known = _server_errors(uri) | _file_errors(file or "the store")
    for error, answer in known.items():
        if error.lower() in text.lower():
            return answer
    first = without_secrets(text, uri).strip().splitlines()[0][:200]
    return first, "harness sync RUN --debug, for the whole traceback"


def _file_errors(file: Path | str) -> dict[str, tuple[str, str]]:
    """Errors of an SQLite file, and of a disk."""
    start_again = f"mv {file} {file}.damaged, then harness sync RUN for each run, which makes a new store"
    room = "make room, then harness sync RUN"
    other = ANOTHER.replace("ADDRESS", "sqlite:///FILE")
    return {
        "file is not a database": ("it is damaged, or not a database", start_again),
        "malformed": ("it is damaged", start_again),
        "database is locked": ("another program has locked it", "end that program, then harness sync RUN"),
        "readonly database": ("it is read-only", f"chmod u+w {file}"),
        "Read-only file system": ("its disk is read-only", f"{other}, on another disk"),
        "Permission denied": ("its folder is read-only", f"{other}, in another folder"),
        "unable to open database file": ("it cannot be opened", other),
        "disk is full": ("the disk is full", room),
        "No space left": ("the disk is full", room),
        "File too large": ("the disk cannot write it", room),
        "disk I/O error": ("the disk cannot read or write it", room),
        "the run ended": ("the run ended while the store was being made", "harness sync RUN"),
        "maintenance mode": ("MLflow no longer writes folders", ANOTHER.replace("ADDRESS", "sqlite:///mlflow.db")),
    }


def _server_errors(uri: str) -> dict[str, tuple[str, str]]:
    """Errors of an MLflow server or a database server."""
    is_database = not uri.startswith(("http://", "https://"))
    start = "start the database, or " if is_database else "harness ui, or "
    no_host = ("there is no such host", f"{ANOTHER}, then harness sync RUN")
    login = "export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=PASSWORD"
    refused = ("it refuses the user name or the password", f"{ANOTHER} with the right ones, then harness sync RUN")
    return {
        "Current state is deleted": ("the run was deleted there", "mlflow runs restore --run-id ID"),
        "Name or service not known": no_host,
        "name resolution": no_host,
        "nodename nor servname": no_host,
        "getaddrinfo failed": no_host,
        "Failed to resolve": no_host,
        "Connection refused": ("nothing answers there", f"{start}{ANOTHER}, then harness sync RUN"),
        "timed out": ("it does not answer", "start it again, then harness sync RUN"),
        "timeout expired": ("it does not answer", "start it again, then harness sync RUN"),
        "Max retries exceeded": ("it answers only with errors", "start it again, then harness sync RUN"),
        "authentication failed": refused,
        "Access denied for user": refused,
        "error code 401": ("it requires a user name and a password", login),
        "error code 403": ("this user has no permission", login),
    }


def mlflow_version() -> str:
    return f"mlflow {metadata.version('mlflow')}"
