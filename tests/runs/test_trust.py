from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.runs import trust


def test_remember_run_makes_one_key_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads play the role of processes. A thread that makes a second key, or reads half a key, loses a run."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    begin = threading.Barrier(8)

    def first_run(number: int) -> None:
        begin.wait()
        trust.remember_run(f"run{number}", "data")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(first_run, range(8)))
    assert all(trust.made_run(f"run{number}", "data") for number in range(8))
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [".key.lock", "key"]
    if sys.platform != "win32":
        assert (tmp_path / "state/key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="every user has a home on Windows")
def test_made_run_is_false_for_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home is common in containers. platformdirs then raises RuntimeError or returns a "~"."""
    for name in ("HOME", "HARNESS_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 2)
    monkeypatch.chdir(tmp_path)
    trust.remember_run("x", "data")
    assert not trust.made_run("x", "data")
    assert list(tmp_path.iterdir()) == []
