"""Locks on an SQLite file, as in optuna#820 and optuna#4994."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.tuning import sqlite_lock
from harness.tuning.storage import open_storage
from harness.tuning.study import Study


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds the lock for `seconds`, or to the end of the block."""
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, lambda: database.execute("ROLLBACK"))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        database.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sqlite_lock, "TRY_SECONDS", 0.05)
    monkeypatch.setattr(sqlite_lock, "QUIET_SECONDS", 0.2)
    open_storage(f"sqlite:///{tmp_path}/x.db")
    return tmp_path / "x.db"


@pytest.mark.parametrize("create", [True, False])
def test_waited_waits_for_a_locked_file(path: Path, create: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(path, 0.7):
        study = Study(f"sqlite:///{path}", "x", ["maximize"], 0, create)
    assert capsys.readouterr().err == "waiting: another process has locked the study's SQLite file\n"
    with locked(path, 0.7):  # also during a study
        claim = study.claim(1, {})
    assert claim is not None
    assert study.trials()[0].state == "running"


def test_waited_raises_if_the_lock_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_lock, "LONGEST_SECONDS", 0.3)
    study = Study(f"sqlite:///{path}", "x", ["maximize"], 0)
    with locked(path, 60):
        with pytest.raises(RemoteError, match="database is locked") as caught:
            study.claim(1, {})
        with pytest.raises(RemoteError, match="database is locked"):
            open_storage(f"sqlite:///{path}")
    assert (
        caught.value.fix
        == f"end the process that has locked it (fuser {path} shows it), then the same command continues"
    )
    assert study.claim(1, {}) is not None


def test_waited_raises_other_errors_at_once(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "x.db")
    with contextlib.closing(database), pytest.raises(sqlite3.OperationalError, match="no such table"):
        sqlite_lock.waited(lambda: database.execute("SELECT * FROM nowhere"))
    assert not sqlite_lock.is_locked(sqlite3.OperationalError("disk I/O error"))
    assert not sqlite_lock.is_locked(None)
