"""Locks between real processes, which are killed or fork."""

from __future__ import annotations

import errno
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from harness.cache.recipe import Recipe
from harness.cache.store import Cache
from harness.errors import StorageError
from harness.runs import trust
from harness.tuning.storage import open_storage
from harness.util import locks
from harness.util.locks import NO_LOCKS, is_signed_here, lock_of, locked
from tests.cache.test_cache_store import ITEMS, RECIPE, rows

HOLD = """
import sys, time
from pathlib import Path
from harness.util import locks
from harness.util.locks import locked
with locked(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock `x.lock`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "x.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From now on, the file system refuses all locks with this error."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)


def test_locked_is_false_while_another_process_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with locked(tmp_path / "x.lock") as alone:
        assert not alone
    holder.communicate("")
    with locked(tmp_path / "x.lock") as alone:
        assert alone
        with locked(tmp_path / "x.lock") as twice:
            assert not twice
    assert (tmp_path / "x.lock").exists()


def test_locked_waits_until_the_other_process_is_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    waiter = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("[1])", "[1]), wait=True"), str(tmp_path / "x.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.5)
    assert waiter.poll() is None
    holder.kill()
    assert waiter.communicate("", timeout=30)[0] == "True\n"


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
def test_locked_is_released_although_a_forked_process_lives(tmp_path: Path) -> None:
    """Like loader processes, which may live longer than a killed run."""
    with locked(tmp_path / "x.lock") as alone:
        assert alone
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with locked(tmp_path / "x.lock") as again:
            assert again
    finally:
        child.kill()
        child.join()


def test_locked_creates_no_folder_and_follows_no_link(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "gone/x.lock"):
        pass
    assert not (tmp_path / "gone").exists()
    (tmp_path / "x.lock").symlink_to(tmp_path / "target")
    with pytest.raises(StorageError, match="not a lock of this program"), lock_of(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "target").exists()


def test_holder_names_the_running_process_that_has_signed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert locks.holder(path) == "another process"
    with locked(path, tell=print):
        assert (locks.holder(path), is_signed_here(path)) == (f"process {os.getpid()}", True)
    path.write_bytes(path.read_bytes().replace(b'"since": "', b'"since": "9'))
    assert (locks.holder(path), is_signed_here(path)) == (f"process {os.getpid()} on {socket.gethostname()}", False)


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs rights there")
def test_locked_does_not_write_to_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "x.lock").hardlink_to(tmp_path / "mine")
    (tmp_path / "y.lock").write_text("precious, too")
    for name in ("x.lock", "y.lock"):
        with locked(tmp_path / name, tell=print) as alone:
            assert alone
            assert not is_signed_here(tmp_path / name)
    assert (tmp_path / "mine").read_text() + (tmp_path / "y.lock").read_text() == "preciousprecious, too"


@pytest.mark.skipif(sys.platform == "win32", reason="these are errors of flock")
@pytest.mark.parametrize("number", [*NO_LOCKS, errno.EIO])
def test_locked_raises_if_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On ENOSYS, filelock waited forever (tox-dev/filelock#67), then took a file that outlives kill -9 (#480)."""
    refuse(monkeypatch, number)
    for waits in (False, True):
        with pytest.raises(StorageError) as refused, lock_of(tmp_path / "x.lock", waits):
            pass
        assert os.strerror(number) in refused.value.why
        assert "on a disk that can lock files" in refused.value.fix
    journal = str(tmp_path / "optuna.journal")
    with pytest.raises(StorageError, match=r"optuna\.journal\.lock cannot be written") as refused:
        open_storage(journal).create_new_study([], "x")
    assert "--storage" in refused.value.fix


@pytest.mark.skipif(sys.platform == "win32", reason="these are errors of flock")
def test_locked_continues_without_locks_if_not_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in NO_LOCKS:
        refuse(monkeypatch, number)
        recipe = Recipe("features", "x", {"number": number})
        assert rows(Cache(tmp_path / "cache"), recipe=recipe) == ITEMS
        assert rows(Cache(tmp_path / "cache"), recipe=recipe) == []
        trust.remember_run(str(number), "data")
        assert trust.made_run(str(number), "data")
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / "x.lock", required=False):
        pass


def test_remove_lock_keeps_a_lock_that_a_process_holds(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    rows(cache)
    lock = tmp_path / f"{RECIPE.key(ITEMS)}.lock"
    with filelock.FileLock(lock):
        cache.clear()
        assert lock.exists()
    cache.clear()
    assert list(tmp_path.iterdir()) == []
