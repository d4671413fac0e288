"""An SQLite store is made, completed or migrated once, in another file. A store with runs is never renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import RemoteError
from harness.trackers.mlflow import condition, database
from harness.trackers.mlflow.condition import Condition, examine
from harness.trackers.mlflow.database import StoppedError, StoreError, UpgradeError, make_whole
from harness.trackers.mlflow.store import connect, refused, require_usable
from tests.conftest import wait

UNFINISHED = ("UPDATE alembic_version SET version_num = '451aebb31d03'", "DROP TABLE trace_info")
EARLIER = ("DROP TABLE alembic_version", "DROP TABLE trace_tags")
ONE = "INSERT INTO experiments (experiment_id, name, workspace) VALUES (7, 'mine', 'default')"
RUN = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('a', 0)"
OLD = "UPDATE alembic_version SET version_num = '75868b020152'"  # an earlier schema, or an interrupted migration


def changed(new_database: Path, path: Path, *statements: str) -> Path:
    """A copy of a store after these statements, with a modification time one minute ago."""
    shutil.copy(new_database, path)
    with contextlib.closing(sqlite3.connect(path)) as opened:
        for statement in statements:
            opened.execute(statement)
        opened.commit()
    os.utime(path, (time.time() - 60,) * 2)
    return path


def test_examine_knows_the_same_revisions_as_alembic() -> None:
    """`examine` reads MLflow's migrations without importing them. Alembic gives the same, but slowly."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    own = frozenset(script.revision for script in scripts.walk_revisions())
    assert condition._revisions() == (own, scripts.get_current_head())


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, new_database: Path) -> list[Path]:
    """Replaces MLflow's command, which takes four seconds: copies a store or sets its schema. Yields its paths."""
    asked: list[Path] = []

    def upgrade(path: Path, _stop: Callable[[], bool]) -> None:
        asked.append(path)
        if not path.exists():
            shutil.copy(new_database, path)
            return
        with contextlib.closing(sqlite3.connect(path)) as opened:
            head = sqlite3.connect(new_database).execute("SELECT version_num FROM alembic_version").fetchone()
            opened.execute("UPDATE alembic_version SET version_num = ?", head)
            opened.commit()

    monkeypatch.setattr(database, "_upgrade", upgrade)
    return asked


@pytest.mark.parametrize("statements", [UNFINISHED, EARLIER], ids=["late", "early"])
def test_make_whole_renames_an_incomplete_store(
    new_database: Path, tmp_path: Path, fast: list[Path], statements: tuple[str, ...]
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", *statements)
    content = path.read_bytes()
    assert examine(path).condition is Condition.HALF_MADE
    assert "it was renamed mlflow.db.unfinished;" in make_whole(path)
    assert (tmp_path / "mlflow.db.unfinished").read_bytes() == content
    assert examine(path).condition is Condition.WHOLE
    warnings: list[str] = []
    client = connect(f"sqlite:///{path}", warnings)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert warnings == []
    changed(new_database, path, *statements)
    assert "it was renamed mlflow.db.unfinished-1;" in make_whole(path)
    assert names(tmp_path) == {"mlflow.db", "mlflow.db.unfinished", "mlflow.db.unfinished-1"}


@pytest.mark.parametrize("filled", [ONE, RUN], ids=["experiment", "run"])
def test_make_whole_copies_an_older_store_before_it_is_migrated(
    new_database: Path, tmp_path: Path, fast: list[Path], filled: str
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", OLD, filled)
    inode = path.stat().st_ino
    warning = make_whole(path)
    assert warning == "an older MLflow made mlflow.db: it was copied to mlflow.db.before-75868b020152, then migrated"
    assert names(tmp_path) == {"mlflow.db", "mlflow.db.before-75868b020152"}
    assert (examine(path).condition, path.stat().st_ino) == (Condition.WHOLE, inode)
    before = examine(tmp_path / "mlflow.db.before-75868b020152")
    assert (before.condition, before.revision) == (Condition.OLDER, "75868b020152")
    table = "experiments WHERE name = 'mine'" if filled == ONE else "runs"
    for file in tmp_path.iterdir():
        with contextlib.closing(sqlite3.connect(file)) as opened:
            assert len(opened.execute(f"SELECT * FROM {table}").fetchall()) == 1
    assert make_whole(path) == ""


def test_make_whole_leaves_a_store_with_runs_that_cannot_be_migrated(
    new_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", OLD, RUN)
    content = path.read_bytes()

    def upgrade(path: Path, _stop: object) -> None:
        path.write_bytes(b"half")
        raise StoreError("sqlite3.OperationalError: table x already exists")

    monkeypatch.setattr(database, "_upgrade", upgrade)
    with pytest.raises(UpgradeError) as caught:
        make_whole(path)
    assert path.read_bytes() == content
    assert names(tmp_path) == {"mlflow.db"}
    error = refused(f"sqlite:///{path}", caught.value)
    assert "it holds runs, its tables are incomplete" in error.why
    fix = f"mv {path} {path}.damaged, then harness sync RUN for each run, which makes a new store"
    assert error.fix == f"{fix}; see docs/scale-out.md"
    shutil.copy(new_database, tmp_path / "mlflow.db.before-0")
    with pytest.raises(UpgradeError) as caught:
        make_whole(path)
    assert f"cp {path}.before-0 {path}" in refused(f"sqlite:///{path}", caught.value).fix


def test_make_whole_does_not_change_complete_or_unusable_stores(
    new_database: Path, tmp_path: Path, fast: list[Path]
) -> None:
    newer = changed(new_database, tmp_path / "newer.db", "UPDATE alembic_version SET version_num = 'fedcba987654'")
    foreign = tmp_path / "foreign.db"
    with contextlib.closing(sqlite3.connect(foreign)) as opened:
        opened.execute("CREATE TABLE studies (id)")
    assert [make_whole(path) for path in (newer, foreign, new_database)] == ["", "", ""]
    assert fast == []
    assert (examine(newer).condition, examine(foreign).condition) == (Condition.NEWER, Condition.FOREIGN)
    two = ("INSERT INTO alembic_version VALUES ('451aebb31d03')",)  # two processes made it at once in the same file
    assert examine(changed(new_database, tmp_path / "two.db", *two)).condition is Condition.HALF_MADE
    assert examine(changed(new_database, tmp_path / "two.db", *two, RUN)).condition is Condition.OLDER


def test_make_whole_makes_a_store_in_an_empty_file(tmp_path: Path, fast: list[Path]) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "link.db").symlink_to("elsewhere.db")
    assert [make_whole(tmp_path / name) for name in ("empty.db", "link.db")] == ["", ""]
    assert {examine(path).condition for path in tmp_path.iterdir()} == {Condition.WHOLE}
    assert names(tmp_path) == {"empty.db", "link.db", "elsewhere.db"}


def test_make_whole_waits_for_a_program_that_is_making_it(
    new_database: Path, tmp_path: Path, fast: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(new_database, tmp_path / "mlflow.db", *UNFINISHED)
    path.touch()
    monkeypatch.setattr(time, "sleep", lambda _: shutil.copy(new_database, path))
    assert make_whole(path) == ""
    assert path.read_bytes() == new_database.read_bytes()


def test_make_whole_makes_one_store_for_four_processes(
    new_database: Path, tmp_path: Path, fast: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = database._upgrade

    def slowly(path: Path, stop: Callable[[], bool]) -> None:
        time.sleep(0.3)
        upgrade(path, stop)

    monkeypatch.setattr(database, "_upgrade", slowly)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(make_whole(tmp_path / "mlflow.db"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, len(fast), names(tmp_path)) == ([""] * 4, 1, {"mlflow.db"})


def test_make_whole_keeps_the_store_that_another_process_made_first(
    new_database: Path, tmp_path: Path, fast: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, leftover = tmp_path / "a?b %20 é.db", tmp_path / ".a?b %20 é.db-0123abcd"
    leftover.touch()
    theirs = changed(new_database, tmp_path / "theirs", ONE).read_bytes()
    (tmp_path / "theirs").unlink()
    upgrade = database._upgrade

    def too_late(made: Path, stop: Callable[[], bool]) -> None:
        upgrade(made, stop)
        path.write_bytes(theirs)

    monkeypatch.setattr(database, "_upgrade", too_late)
    assert make_whole(path) == ""
    assert (names(tmp_path), path.read_bytes()) == ({path.name}, theirs)


def test_make_whole_leaves_no_files_if_it_is_stopped(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(StoppedError):
        make_whole(tmp_path / "mlflow.db", lambda: time.monotonic() > started + 0.5)
    assert time.monotonic() - started < 3
    assert names(tmp_path) == set()


@pytest.mark.slow  # MLflow's command takes four seconds each time
def test_make_whole_with_the_real_mlflow_command(new_database: Path, tmp_path: Path) -> None:
    """An interrupted migration: the tables exist, but the store has the earlier schema's number."""
    path = changed(new_database, tmp_path / "mlflow.db", OLD, RUN)
    content = path.read_bytes()
    with pytest.raises(RemoteError, match="it holds runs, its tables are incomplete"):
        require_usable(f"sqlite:///{path}")
    assert (path.read_bytes(), names(tmp_path)) == (content, {"mlflow.db"})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of a file")
@pytest.mark.parametrize("kilobytes", [4, 600])
def test_make_whole_leaves_no_files_on_a_full_disk(tmp_path: Path, kilobytes: int) -> None:
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes} * 1024,) * 2)
from harness.trackers.mlflow.store import require_usable
try:
    require_usable("sqlite:///mlflow.db")
except Exception as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, names(tmp_path)) == (1, set())
    assert "try: make room, then harness sync RUN" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_make_whole_ends_when_its_parent_process_is_killed(tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom harness.trackers.mlflow.database import make_whole\nmake_whole(Path('m.db'))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, start_new_session=True)
    wait(lambda: any(path.name.startswith(".m.db-") for path in tmp_path.iterdir()), 60)
    process.kill()
    process.wait()
    wait(lambda: not _is_left(process.pid), 5)
    assert "m.db" not in names(tmp_path)
    assert make_whole(tmp_path / "m.db") == ""
    assert names(tmp_path) == {"m.db"}


def _is_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_make_whole_completes_a_store_after_mlflow_was_killed(tmp_path: Path) -> None:
    code = "from mlflow import MlflowClient; MlflowClient('sqlite:///mlflow.db').search_experiments()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, start_new_session=True)
    path = tmp_path / "mlflow.db"
    while not path.exists() or path.stat().st_size < 100_000:
        time.sleep(0.01)
    os.killpg(process.pid, 9)
    process.wait()
    assert "mlflow.db was incomplete" in make_whole(path)
    assert connect(f"sqlite:///{path}").search_experiments()[0].name == "Default"
    assert names(tmp_path) - {"mlflow.db.unfinished-journal"} == {"mlflow.db", "mlflow.db.unfinished"}
