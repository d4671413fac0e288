"""What is wrong with a store, in a person's words: MLflow's errors wrap those of SQLAlchemy, drivers and the system."""

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
        text: Of the error.
        file: Of an SQLite store.
    """
    typed = short_address(uri) if file else "$MLFLOW_TRACKING_URI"
    schema = re.search(r"found version (\w+), but expected (\w+)", text)
    unknown = re.search(r"Can't locate revision identified by '(\w+)'", text)
    if schema or unknown:
        had = (schema or unknown or [""])[1]
        return (
            f"another version of MLflow made it (schema {had}), and this one is {mlflow_version()}",
            f"pip install --upgrade mlflow, if it is newer; mlflow db upgrade {typed}, if it is older",
        )
    if missing := MISSING.search(text):
        package = PACKAGES.get(missing[1], missing[1].partition(".")[0])
        return f"its driver, {missing[1]}, is not installed", f"pip install {package}"
    known = _of_servers(uri) | _of_files(file or "the store")
    for words, answer in known.items():
        if words.lower() in text.lower():
            return answer
    first = without_secrets(text, uri).strip().splitlines()[0][:200]
    return first, "harness sync RUN --debug, for the whole traceback"


def _of_files(file: Path | str) -> dict[str, tuple[str, str]]:
    """Errors of an SQLite file, and of a disk."""
    start_again = f"mv {file} {file}.damaged, for a new one; then harness sync RUN for each run: its folder has all"
    room = "make room, then harness sync RUN"
    other = ANOTHER.replace("ADDRESS", "sqlite:///FILE")
    return {
        "file is not a database": ("it is damaged, or no database", start_again),
        "malformed": ("it is damaged", start_again),
        "database is locked": ("another program holds it locked", "end that program, then harness sync RUN"),
        "readonly database": ("it may not be written", f"chmod u+w {file}"),
        "Read-only file system": ("its disk may not be written", f"{other}, on another disk"),
        "Permission denied": ("its folder may not be written", f"{other}, in another folder"),
        "unable to open database file": ("it cannot be opened", other),
        "disk is full": ("the disk is full", room),
        "No space left": ("the disk is full", room),
        "File too large": ("the disk refuses", room),
        "disk I/O error": ("the disk refuses", room),
        "the run was ended": ("the run was ended while the store was made", "harness sync RUN"),
        "maintenance mode": ("MLflow no longer writes folders", ANOTHER.replace("ADDRESS", "sqlite:///mlflow.db")),
    }


def _of_servers(uri: str) -> dict[str, tuple[str, str]]:
    """Errors of a server of MLflow, or of a database."""
    is_database = not uri.startswith(("http://", "https://"))
    start = "start the database, or " if is_database else "harness ui, or "
    no_host = ("there is no such host", f"{ANOTHER}, of a host that is there; then harness sync RUN")
    login = "export MLFLOW_TRACKING_USERNAME=… _PASSWORD=…"
    refused = ("it refuses that name or password", f"{ANOTHER}, with the right ones; then harness sync RUN")
    return {
        "Current state is deleted": (
            "somebody deleted the run there",
            "mlflow runs restore --run-id ID, to have it back",
        ),
        "Name or service not known": no_host,
        "name resolution": no_host,
        "nodename nor servname": no_host,
        "getaddrinfo failed": no_host,
        "Failed to resolve": no_host,
        "Connection refused": ("nothing answers there", f"{start}{ANOTHER} of one that runs; then harness sync RUN"),
        "timed out": ("it does not answer", "start it again, then harness sync RUN"),
        "timeout expired": ("it does not answer", "start it again, then harness sync RUN"),
        "Max retries exceeded": ("it answers with errors alone", "start it again, then harness sync RUN"),
        "authentication failed": refused,
        "Access denied for user": refused,
        "error code 401": ("it wants a name and a password", login),
        "error code 403": ("it does not permit that", login),
    }


def mlflow_version() -> str:
    return f"mlflow {metadata.version('mlflow')}"
