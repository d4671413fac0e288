"""An SQLite store that MLflow was killed over is made again, and one that holds something is left as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.trackers.mlflow import database
from harness.trackers.mlflow.database import is_finished, make_whole
from harness.trackers.mlflow.store import connect

UNFINISHED = ("UPDATE alembic_version SET version_num = '451aebb31d03'", "DROP TABLE trace_info")
EARLIER = ("DROP TABLE alembic_version", "DROP TABLE trace_tags")


def changed(new_database: Path, path: Path, *statements: str) -> Path:
    """A copy of a store after these statements, which nobody has touched for a minute."""
    shutil.copy(new_database, path)
    with contextlib.closing(sqlite3.connect(path)) as opened:
        for statement in statements:
            opened.execute(statement)
        opened.commit()
    os.utime(path, (time.time() - 60,) * 2)
    return path


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, new_database: Path) -> None:
    """MLflow's command, which takes four seconds, copies a store that it has made before."""

    def upgrade(command: Sequence[str], cwd: Path, **_: object) -> None:
        shutil.copy(new_database, cwd / command[-1].removeprefix("sqlite:///"))

    monkeypatch.setattr(subprocess, "run", upgrade)


@pytest.mark.parametrize("statements", [UNFINISHED, EARLIER], ids=["late", "early"])
def test_make_whole_sets_an_unfinished_store_aside(
    new_database: Path, tmp_path: Path, fast: None, statements: tuple[str, ...]
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", *statements)
    content = path.read_bytes()
    assert "is now mlflow.db.unfinished" in make_whole(path)
    assert (tmp_path / "mlflow.db.unfinished").read_bytes() == content
    assert is_finished(path)
    notes: list[str] = []
    client = connect(f"sqlite:///{path}", notes)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert notes == []
    changed(new_database, path, *statements)
    assert "is now mlflow.db.unfinished-1" in make_whole(path)
    assert {file.name for file in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.unfinished", "mlflow.db.unfinished-1"}


def test_make_whole_leaves_a_store_that_holds_something(new_database: Path, tmp_path: Path, fast: None) -> None:
    one = "INSERT INTO experiments (experiment_id, name, workspace) VALUES (7, 'mine', 'default')"
    run = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('a', 0)"
    for number, filled in enumerate((one, run)):
        path = changed(new_database, tmp_path / f"{number}.db", *UNFINISHED, filled)
        content = path.read_bytes()
        assert make_whole(path) == ""
        assert path.read_bytes() == content
    newer = changed(new_database, tmp_path / "newer.db", "UPDATE alembic_version SET version_num = 'fedcba987654'")
    assert make_whole(newer) == ""
    (tmp_path / "empty.db").touch()
    assert make_whole(tmp_path / "empty.db") == ""


def test_make_whole_waits_for_who_is_making_it(
    new_database: Path, tmp_path: Path, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", *UNFINISHED)
    path.touch()
    monkeypatch.setattr(time, "sleep", lambda _: shutil.copy(new_database, path))
    assert make_whole(path) == ""
    assert path.read_bytes() == new_database.read_bytes()


def test_make_whole_keeps_the_store_that_another_process_made_first(
    new_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, leftover = tmp_path / "a?b %20 é.db", tmp_path / ".a?b %20 é.db-0123abcd"
    leftover.touch()
    os.utime(leftover, (0, 0))

    def upgrade(command: Sequence[str], cwd: Path, **_: object) -> None:
        shutil.copy(new_database, cwd / command[-1].removeprefix("sqlite:///"))
        path.write_bytes(b"theirs")

    monkeypatch.setattr(subprocess, "run", upgrade)
    assert make_whole(path) == ""
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {path.name: b"theirs"}


def test_make_whole_of_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert make_whole(tmp_path / "no/mlflow.db") == ""
    assert not (tmp_path / "no").exists()


@pytest.mark.slow  # MLflow makes a store, which takes four seconds, and is killed over it
def test_make_whole_after_a_process_group_was_killed(tmp_path: Path) -> None:
    code = "from mlflow import MlflowClient; MlflowClient('sqlite:///mlflow.db').search_experiments()"
    process = subprocess.Popen(
        [*database.python_module("mlflow")[:1], "-c", code], cwd=tmp_path, start_new_session=True
    )
    path = tmp_path / "mlflow.db"
    while not path.exists() or path.stat().st_size < 100_000:
        time.sleep(0.01)
    os.killpg(process.pid, 9)
    process.wait()
    assert "MLflow was killed while it made" in make_whole(path)
    assert is_finished(path)
    assert connect(f"sqlite:///{path}").search_experiments()[0].name == "Default"
