from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import RemoteError, UsageError
from harness.search.storage import MEMORY, existing, open_storage
from harness.search.study import Study


def test_a_journal_is_made_where_there_is_none_and_found_again(tmp_path: Path) -> None:
    address = str(tmp_path / "optuna.journal")
    assert existing(address, "x") == MEMORY
    assert not Path(address).exists()
    Study(address, "x", ["maximize"], 0)
    assert existing(address, "x") == address
    assert existing(address, "y") == MEMORY


def test_a_last_line_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    study = Study(str(path), "x", ["maximize"], 0)
    study.claim(3, {})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 5, "tri')
    assert [trial.state for trial in Study(str(path), "x", ["maximize"], 0).trials()] == ["running"]
    assert path.read_bytes().startswith(whole + b"{")


def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    path.write_text("a poem\nof two lines\n")
    with pytest.raises(UsageError, match="no journal of Optuna's"):
        Study(str(path), "x", ["maximize"], 0)
    assert path.read_text() == "a poem\nof two lines\n"
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(UsageError, match="there is no folder"):
        Study(str(tmp_path / "nodir/optuna.journal"), "x", ["maximize"], 0)


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    Study(str(path), "x", ["maximize"], 0)
    path.write_bytes(path.read_bytes() + b"damaged\n" + path.read_bytes())
    with pytest.raises(RemoteError) as caught:
        Study(str(path), "x", ["maximize"], 0)
    assert str(path) in caught.value.what
    assert caught.value.fix.startswith("mv ")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    Study(str(path), "x", ["maximize"], 0)
    code = f"""
import os
from harness.search.storage import _Lock
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
        ("grpc://127.0.0.1", UsageError, "names no port"),
        ("nonsense://x", UsageError, "nonsense"),
    ],
)
def test_an_address_that_does_not_work_is_said_without_its_password(
    address: str, kind: type[Exception], words: str
) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(kind) as caught:
        open_storage(address)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_in_a_file_works_too(tmp_path: Path) -> None:
    study = Study(f"sqlite:///{tmp_path}/optuna.db", "x", ["maximize"], 0)
    claim = study.claim(1, {})
    assert claim is not None
    claim.trial.suggest_float("a", 0, 1)
    assert study.fail(claim.record, "it is a test")
    assert [(trial.state, trial.attributes["reason"]) for trial in study.trials()] == [("failed", "it is a test")]
