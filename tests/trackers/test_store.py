"""Errors of a store are explained in plain words, within seconds."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.trackers.mlflow import answer, store
from tests.toy import run_record


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def refusal(uri: str) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        store.require_usable(uri)
    return caught.value


def test_tracking_uri_is_the_environments_or_a_file_in_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://box:5000")
    assert store.tracking_uri() == "http://box:5000"


TOKEN = "dapi0123456789"
SECRET_ADDRESSES = {
    f"databricks://{TOKEN}": "databricks://…",
    f"{{server}}/?sig={TOKEN}": "{server}",
    f"{{server}}/{TOKEN}/path": "{server}",
}


def test_refused_prints_no_password() -> None:
    error = store.refused("https://me:secret@box", ValueError("https://me:secret@box: no"))
    assert "secret" not in str(error)
    long = "x" * 190 + "postgresql://me:secret@db"
    assert "sec" not in str(store.refused("postgresql://me:secret@db", ValueError(long)))


@pytest.mark.parametrize(("uri", "short"), SECRET_ADDRESSES.items())
def test_require_usable_prints_no_token(uri: str, short: str) -> None:
    server = unused_address()
    error = refusal(uri.format(server=server))
    assert error.what == f"MLflow at {short.format(server=server)} cannot be used"
    assert TOKEN not in str(error)


def test_refused_hides_the_path_that_requests_quotes() -> None:
    text = f"HTTPConnectionPool(host='h', port=80): url: /{TOKEN}/api/2.0/mlflow (Caused by X)"
    why = store.refused(f"http://h/{TOKEN}/path", ValueError(text)).why
    assert why == "HTTPConnectionPool(host='h', port=80): url: /***/api/2.0/mlflow (Caused by X)"


def test_is_recorded_compares_ids_and_the_addresses_of_older_records() -> None:
    uri = f"http://me:secret@h/{TOKEN}/?sig=x"
    fields = store.recorded(uri)
    record = run_record(**fields)
    assert fields["stores"] == {"mlflow": "http://h"}
    assert TOKEN not in str(fields)
    assert store.is_recorded(record, f"http://h/{TOKEN}")
    assert not store.is_recorded(record, "http://h/another")
    assert store.is_recorded(run_record(stores={"mlflow": f"http://h/{TOKEN}/"}), uri)
    assert store.is_recorded(run_record(stores={"mlflow": "sqlite:///mlflow.db"}), "sqlite:///mlflow.db")
    assert not store.is_recorded(run_record(stores={"mlflow": "sqlite:///mlflow.db"}), "sqlite:///another.db")
    assert not store.is_recorded(run_record(stores={"mlflow": "http://h/another"}), uri)
    assert not store.is_recorded(run_record(), uri)


def test_require_usable_accepts_a_store_that_answers(new_database: Path) -> None:
    store.require_usable(f"sqlite:///{new_database}")


def test_make_ready_does_not_import_mlflow_for_a_complete_store(new_database: Path) -> None:
    """`harness ui` uses it, and would keep the 200 MB of MLflow in memory."""
    code = "import sys; from harness.trackers.mlflow.store import make_ready; assert make_ready(sys.argv[1]) == []; "
    code += "assert not {'mlflow', 'sqlalchemy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{new_database}"], check=True)


def test_require_usable_names_a_damaged_store_and_the_command(new_database: Path, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"this is no database, and never was" * 100)
    assert refusal(f"sqlite:///{path}").why == "it is damaged, or not a database"
    assert f"mv {path}" in refusal(f"sqlite:///{path}").fix
    content = bytearray(new_database.read_bytes())
    content[4096 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4096)
    path.write_bytes(content)
    assert "damaged" in refusal(f"sqlite:///{path}").why


def test_require_usable_refuses_a_locked_store(
    new_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    path = tmp_path / "mlflow.db"
    path.write_bytes(new_database.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert refusal(f"sqlite:///{path}").why == "another program has locked it"
        other.rollback()
    store.require_usable(f"sqlite:///{path}")


def test_require_usable_refuses_a_store_of_a_newer_version(new_database: Path, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(new_database.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        database.commit()
    error = refusal(f"sqlite:///{path}")
    assert "a newer version of MLflow made it (schema fedcba987654)" in error.why
    assert "pip install --upgrade mlflow" in error.fix


def test_require_usable_refuses_a_folder(tmp_path: Path) -> None:
    assert refusal(f"sqlite:///{tmp_path}").why == "it cannot be opened"


def test_require_usable_refuses_an_unreachable_server() -> None:
    started = time.monotonic()
    assert refusal(unused_address()).why == "nothing answers there"
    assert time.monotonic() - started < 10


def test_require_usable_refuses_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_server() as uri:
        assert refusal(uri).why == "it does not answer"


def test_require_answering_refuses_a_database_that_is_unreachable_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow would try for 100 seconds."""
    pytest.importorskip("psycopg")
    monkeypatch.setattr(store, "require_answer", lambda uri: answer.require_answer(uri, 0.5))
    error = refusal(unused_address().replace("http://", "postgresql+psycopg://me:secret@") + "/x")
    assert (error.why, "start the database" in error.fix) == ("nothing answers there", True)
    assert "secret" not in str(error)
    with silent_server() as uri:
        assert refusal(uri.replace("http", "postgresql+psycopg")).why == "it does not answer"


def test_require_usable_refuses_a_server_that_is_not_mlflow() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(
                            b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nnope\n"
                        )

        threading.Thread(target=answer, daemon=True).start()
        error = refusal(f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    assert "404" in error.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(sqlite3.OperationalError) database or disk is full", "the disk is full"),
        ("[Errno 28] No space left on device: 'mlruns'", "the disk is full"),
        ("attempt to write a readonly database", "it is read-only"),
        ("API request to endpoint failed with error code 401 != 200", "it requires a user name and a password"),
        ("Detected out-of-date database schema (found version 12, but expected 34)", "another version of MLflow"),
        ("Max retries exceeded with url: /api (Caused by ResponseError('too many 503 error responses'))", "it answers"),
        ("Max retries exceeded with url: /api (Caused by ... Connection refused)", "nothing answers there"),
        ("[Errno -3] Temporary failure in name resolution", "there is no such host"),
        ("No module named 'psycopg2'", "its driver, psycopg2, is not installed"),
        ("FATAL: password authentication failed for user", "it refuses the user name or the password"),
        ("something\nnew", "something"),
    ],
)
def test_explained_recognises_errors_that_mlflow_wraps(text: str, why: str) -> None:
    assert store.refused("sqlite:///mlflow.db", RuntimeError(text)).why.startswith(why)


def test_time_to_store_gives_a_server_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.delenv(name, raising=False)
    with store.time_to_store():
        assert os.environ[name] == str(store.UPLOAD_SECONDS)
    assert name not in os.environ
    monkeypatch.setenv(name, "7")
    with store.time_to_store():
        pass
    assert os.environ[name] == "7"


@pytest.mark.parametrize(("uri", "file"), [("sqlite:////a/b%20c/m.db", "/a/b c/m.db"), ("sqlite:///m.db?x=1", "m.db")])
def test_sqlite_file_is_the_file_that_mlflow_opens(uri: str, file: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    assert Path(file) == store.sqlite_file(uri)
    assert file == sqlalchemy.engine.make_url(uri).database
