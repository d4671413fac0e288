from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from harness.errors import RemoteError, UsageError
from harness.tuning.database import OPTUNAS, read_database, sqlite_file
from harness.tuning.storage import close, open_storage
from harness.tuning.study import Study


def write_tables(path: Path, *names: str, version: str = "") -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for name in names:
            database.execute(f"CREATE TABLE {name} (id INTEGER)")
        if version:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES (?)", (version,))
        database.commit()


def require_refused(path: Path, match: str, scheme: str = "sqlite:///") -> UsageError:
    """A search and its dry run both refuse the storage and do not change it."""
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    for create in (True, False):
        with pytest.raises(UsageError, match=match) as caught:
            Study(f"{scheme}{path}", "x", ["maximize"], 0, create)
    assert {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
    return caught.value


def test_open_database_refuses_mlflows_database(new_database: Path, tmp_path: Path) -> None:
    """Reported as mlflow#3374 and optuna#2866: each program overwrites the other's version of the tables."""
    path = tmp_path / "mlflow.db"
    shutil.copy(new_database, path)
    require_refused(path, "mlflow.db is the database of another program")
    require_refused(path, "database of another program", "sqlite+pysqlite:///")


@pytest.mark.parametrize(
    ("tables", "version"),
    [
        (("patients",), ""),
        (("studies", "patients"), ""),  # a table with the name of Optuna's is not enough
        (("studies",), ""),  # also without other tables: Optuna would make its own tables and then fail
        (("studies", "trials", "version_info"), ""),
        ((), "8073e7e037e5"),
        ((*sorted(OPTUNAS - {"alembic_version"}), "experiments"), "8073e7e037e5"),  # Optuna has already damaged it
    ],
)
def test_open_database_refuses_other_tables(tables: tuple[str, ...], version: str, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    write_tables(path, *tables, version=version)
    error = require_refused(path, "other.db is the database of another program")
    assert "a journal file" in error.fix
    for create in (True, False):  # also with a URI of SQLite
        with pytest.raises(UsageError, match="is the database of another program"):
            Study(f"sqlite:///file:{path}?uri=true", "x", ["maximize"], 0, create)


@pytest.mark.parametrize("content", [b"a poem\n" * 100, b'{"op_code": 0}\n', b"\0" * 5000])
def test_open_database_refuses_a_file_that_is_not_a_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "studies"
    path.write_bytes(content)
    error = require_refused(path, "studies is not an SQLite database")
    assert ("because it is a journal" in error.fix) == content.startswith(b"{")


def test_open_database_refuses_a_missing_folder(tmp_path: Path) -> None:
    require_refused(tmp_path, "is a folder")
    with pytest.raises(UsageError, match="there is no folder"):
        open_storage(f"sqlite:///{tmp_path}/none/x.db")
    write_tables(tmp_path / "a.db", "patients")
    assert require_refused(tmp_path / "a.db", "is not an Optuna journal", "").fix.startswith("--storage sqlite:///")


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_read_database_creates_nothing(scheme: str, tmp_path: Path) -> None:
    assert read_database(f"{scheme}:///{tmp_path}/x.db") is None
    assert [*tmp_path.iterdir()] == []
    assert sqlite_file("sqlite:///:memory:") is sqlite_file("postgresql://host/x") is None


def test_open_database_makes_optunas_tables(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/x.db")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/x.db")
    assert {*sqlalchemy.inspect(engine).get_table_names()} == OPTUNAS
    engine.dispose()
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("DROP TABLE trial_heartbeats")  # as if Optuna was killed while it made the tables
        database.execute("CREATE TABLE mine (id INTEGER)")
        database.commit()
    assert Study(f"sqlite:///{tmp_path}/x.db", "x", ["maximize"], 0).claim(1, {}) is not None


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_agree_refuses_a_study_of_another_program(scheme: str, directions: list[str], tmp_path: Path) -> None:
    path = tmp_path / "studies"
    theirs = optuna.create_study(storage=open_storage(f"{scheme}{path}"), study_name="x", directions=directions)
    theirs.optimize(lambda trial: [trial.suggest_float("a", 0, 1)] * len(directions), n_trials=2)
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(UsageError, match="study 'x' was"):
            Study(f"{scheme}{path}", "x", ["maximize"], 0, create).agree({"metric": "valid_accuracy"}, {})
    assert path.read_bytes() == before
    Study(f"{scheme}{path}", "y", ["maximize"], 0).agree({"metric": "valid_accuracy"}, {})  # beside theirs


def test_trials_leaves_out_trials_of_another_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(str(tmp_path / "optuna.journal"), "x", ["maximize"], 0)
    study.agree({"metric": "valid_accuracy"}, {})
    assert capsys.readouterr().err == ""
    study.as_optuna.optimize(lambda trial: trial.suggest_float("a", 0, 1), n_trials=2)
    study.agree({"metric": "valid_accuracy"}, {})
    assert "warning: study x has 2 trials that harness did not make" in capsys.readouterr().err
    assert study.best(study.trials()) is None
    claim = study.claim(1, {})
    assert claim is not None
    assert (claim.index, claim.record.number) == (0, 2)


def test_a_database_error_names_the_reason(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/x.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TRIGGER broken BEFORE INSERT ON studies BEGIN DELETE FROM nowhere; END")
    with pytest.raises(RemoteError, match=r"no such table: main\.nowhere"):  # instead of Optuna's "invalid data"
        Study(f"sqlite:///{tmp_path}/x.db", "x", ["maximize"], 0)


@pytest.mark.parametrize(
    ("version", "fix"),
    [("v3.0.0.a", "optuna storage upgrade --storage sqlite:///"), ("v99.0.0.a", "pip install -U optuna")],
)
def test_a_database_of_another_optuna_names_the_command(version: str, fix: str, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    close(open_storage(f"sqlite:///{path}"))
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.commit()
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(RemoteError, match="cannot be used") as caught:
            Study(f"sqlite:///{path}", "x", ["maximize"], 0, create)
        assert caught.value.fix.startswith(fix)
    assert path.read_bytes() == before
