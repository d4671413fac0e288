from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.runs import trust


@pytest.mark.skipif(sys.platform == "win32", reason="a user has a home there")
def test_a_user_without_a_home_has_made_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in a container that runs under a number; platformdirs raises RuntimeError, or leaves a "~"."""
    for name in ("HOME", "HARNESS_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 2)
    monkeypatch.chdir(tmp_path)
    trust.remember_run("x", "data")
    assert not trust.made_run("x", "data")
    assert list(tmp_path.iterdir()) == []
