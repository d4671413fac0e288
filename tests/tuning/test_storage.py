from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from harness.config.experiment import Experiment
from harness.errors import RemoteError, UsageError
from harness.tuning.storage import copied, open_storage
from harness.tuning.study import Study
from harness.tuning.trial_record import FoldScores
from harness.util.schema import SchemaError


def test_open_storage_makes_a_journal_and_finds_it_again(tmp_path: Path) -> None:
    address = str(tmp_path / "optuna.journal")
    assert copied(address, "x").get_all_studies() == []
    assert not Path(address).exists()
    Study(address, "x", ["maximize"], 0)
    assert [study.study_name for study in copied(address, "x").get_all_studies()] == ["x"]
    assert copied(address, "y").get_all_studies() == []


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
def test_agree_keeps_the_settings_of_the_process_that_made_the_study(tmp_path: Path, scheme: str) -> None:
    """Threads replace processes. Four start at once, and one of them makes the study."""
    address, begin = f"{scheme}{tmp_path / 'studies'}", threading.Barrier(4)
    open_storage(address)  # SQLite's tables

    def search(number: int) -> str:
        begin.wait()
        study = Study(address, "x", ["maximize"], 0)
        begin.wait()
        return study.agree({"metric": f"valid_{number}"}, {})

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search, number) for number in range(4)]
    refused = [each.exception() for each in searches]
    assert refused.count(None) == 1
    founder = f"was started with other settings; metric: 'valid_{refused.index(None)}', now "
    assert all(founder in str(error) for error in refused if error is not None)


def test_agree_sets_the_settings_of_a_study_whose_process_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tuning.founding.MOST_SECONDS", 0.2)
    address = str(tmp_path / "studies")
    Study(address, "x", ["maximize"], 0)  # its process was killed before it stored the settings
    first = Study(address, "x", ["maximize"], 0).agree({"metric": "valid_loss"}, {})
    assert Study(address, "x", ["maximize"], 0).agree({"metric": "valid_loss"}, {}) == first


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
def test_a_study_opened_for_reading_is_not_changed(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "studies"
    theirs = optuna.create_study(
        storage=open_storage(f"{scheme}{path}"), study_name="x", direction="maximize", load_if_exists=True
    )
    theirs.optimize(lambda trial: trial.suggest_float("a", 0, 1), n_trials=2)
    with path.open("ab") as file:
        file.write(b"" if scheme else b'{"op_code": 5, "tri')  # another program is writing a line
    (tmp_path / "studies.lock").unlink(missing_ok=True)
    before = path.read_bytes()
    looked_at = Study(f"{scheme}{path}", "x", ["maximize"], 0, create=False)
    assert looked_at.trials() == []  # none that harness made
    with pytest.raises(UsageError, match="was made by another program"):
        looked_at.agree({"metric": "valid_accuracy"}, {})
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


def test_open_storage_refuses_another_programs_database_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("CREATE TABLE experiments (name TEXT)")
        database.commit()
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(UsageError, match="database of another program"):
            Study(f"sqlite:///{path}", "x", ["maximize"], 0, create)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("threads", "1); import os; os.system('touch pwned')#", "threads is"),
        ("owner", {"pid": -1, "host": "here"}, "owner.pid is -1"),
        ("changes", ["lr"], "changes is a list"),
        ("instead_of", 7, "replaces trial 7"),
        ("fold1", {"value": 1.0}, "n is missing"),
    ],
)
def test_trials_refuses_a_trial_that_another_program_changed(
    tmp_path: Path, name: str, value: object, why: str
) -> None:
    storage = open_storage(str(tmp_path / "optuna.journal"))
    study = optuna.create_study(storage=storage, study_name="x", direction="maximize")
    study.optimize(lambda trial: trial.set_user_attr(name, value) or 1.0, n_trials=1)
    with pytest.raises(RemoteError, match="cannot be used") as caught:
        Study(str(tmp_path / "optuna.journal"), "x", ["maximize"], 0).trials()
    assert why in caught.value.why
    assert not Path("pwned").exists()


def test_trials_refuses_a_short_text_that_unpacks_to_gigabytes() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(10**7), 9)).decode()
    plain = {"value": 0.5, "n": 8, "right": bomb, "losses": None, "curve": [], "seconds": 1, "loop_seconds": 1}
    with pytest.raises(SchemaError, match="as many as its images"):
        FoldScores.from_plain(1, plain | {"checkpoint": "fold1.pt"})


def test_open_storage_removes_an_incomplete_last_line(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    study = Study(str(path), "x", ["maximize"], 0)
    study.claim(3, {})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 5, "tri')
    assert [trial.state for trial in Study(str(path), "x", ["maximize"], 0).trials()] == ["running"]
    assert path.read_bytes() == whole  # an existing study is only read


@pytest.mark.parametrize("text", ["a poem\nof two lines\n", '{"studies": []}', "[]", "\n"])
def test_open_storage_refuses_a_file_that_is_not_a_journal(text: str, tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    path.write_text(text)
    for create in (True, False):
        with pytest.raises(UsageError, match="is not an Optuna journal"):
            Study(str(path), "x", ["maximize"], 0, create)
    assert path.read_text() == text
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(UsageError, match="there is no folder"):
        Study(str(tmp_path / "nodir/optuna.journal"), "x", ["maximize"], 0)


@pytest.mark.parametrize("content", ['{"op_code": "stop"}\n', '{"op_code": 0}\n', '{"op_code"}\n', '["op_code"]\n'])
def test_open_storage_refuses_another_programs_log(content: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(content)
    for create in (True, False):
        with pytest.raises(UsageError, match="is not an Optuna journal"):
            Study(str(path), "x", ["maximize"], 0, create)
    assert [*tmp_path.iterdir()] == [path]


def test_open_storage_names_the_command_for_a_newer_journal(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    path.write_text('{"op_code": 99, "worker_id": "a"}\n')
    with pytest.raises(RemoteError, match="cannot be used") as caught:
        Study(str(path), "x", ["maximize"], 0)
    assert f"Optuna {optuna.__version__} cannot read its lines" in caught.value.why
    assert caught.value.fix.startswith("pip install -U optuna")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_open_storage_refuses_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", str(tmp_path / "pipe")):
        for create in (True, False):
            with pytest.raises(UsageError, match="is not a file"):
                Study(path, "x", ["maximize"], 0, create)


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("sqlite:/studies.db", "sqlite:///studies.db"),
        ("sqlite:studies.db", "sqlite:///studies.db"),
        ("postgresql:me:secret@db/x", "postgresql://HOST:PORT"),
        ("grpc:localhost:13000", "grpc://HOST:PORT"),
    ],
)
def test_open_storage_refuses_an_address_without_slashes(address: str, fix: str) -> None:
    with pytest.raises(UsageError, match="is not an address") as caught:
        open_storage(address)
    assert caught.value.fix == f"--storage {fix}"
    assert "secret" not in str(caught.value)


def test_open_storage_names_a_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    Study(str(path), "x", ["maximize"], 0)
    path.write_bytes(path.read_bytes() + b"damaged\n" + path.read_bytes())
    with pytest.raises(RemoteError) as caught:
        Study(str(path), "x", ["maximize"], 0)
    assert str(path) in caught.value.what
    assert caught.value.fix.startswith("mv ")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_the_journals_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    Study(str(path), "x", ["maximize"], 0)
    code = f"""
import os
from harness.tuning.storage import _Lock
from pathlib import Path
_Lock(Path({str(path)!r})).acquire()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert Study(str(path), "x", ["maximize"], 0).claim(1, {}) is not None


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", RemoteError, "127.0.0.1"),
        ("grpc://127.0.0.1", UsageError, "has no port"),
        ("nonsense://x", UsageError, "nonsense"),
    ],
)
def test_open_storage_prints_an_address_without_its_password(address: str, kind: type[Exception], words: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(kind) as caught:
        open_storage(address)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_open_storage_accepts_an_sqlite_file(tmp_path: Path) -> None:
    study = Study(f"sqlite:///{tmp_path}/optuna.db", "x", ["maximize"], 0)
    claim = study.claim(1, {})
    assert claim is not None
    claim.trial.suggest_float("a", 0, 1)
    assert study.fail(claim.record, "it is a test")
    assert [(trial.state, trial.attributes["reason"]) for trial in study.trials()] == [("failed", "it is a test")]


def test_agree_accepts_a_study_of_a_version_with_fewer_fields(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "optuna.journal"), "x", ["maximize"], 0)
    fields = json.loads(json.dumps(Experiment(lr=0.5).to_dict()))
    before = {name: value for name, value in fields.items() if name not in ("resize", "groups", "channels")}
    first = study.agree({"experiment": before, "data": "1" * 32}, {})
    assert study.agree({"experiment": fields, "data": "1" * 32}, {}) == first
    with pytest.raises(UsageError, match="resize 'squash', now 'crop'"):
        study.agree({"experiment": fields | {"resize": "crop"}, "data": "1" * 32}, {})
