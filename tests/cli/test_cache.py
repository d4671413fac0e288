from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_shows_and_clears_entries(call: Callable[..., Outcome], project: Path, own_cache: Path) -> None:
    assert call("cache").out == f"the cache is empty\n0 B of 20 GB in {own_cache}\n"
    for freeze in ("true", "blocks.block2"):
        assert call("run", "tiny", "-s", f"freeze={freeze}", "-s", "folds=0", "-s", "epochs=1").code == 0
    lines = call("cache").out.splitlines()
    assert len(lines) == 5
    assert "small_cnn up to blocks.block2 at 32 px, fp32" in lines[0]
    assert "near copies among 33 images" in lines[1]
    assert "checks" in lines[2]
    assert "small_cnn without its head" in lines[3]
    output = json.loads(call("cache", "--json").out)
    assert [entry["rows"] for entry in output["entries"]] == [33, 1, 33, 33]
    assert output["bytes"] == sum(entry["bytes"] for entry in output["entries"])
    assert call("cache", "clear", lines[3].split()[0]).out == f"1 entry removed from {own_cache}\n"
    outcome = call("cache", "clear", "nothing")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert call("cache", "clear").out == f"3 entries removed from {own_cache}\n"
    assert json.loads(call("cache", "--json").out)["entries"] == []
    assert list(own_cache.iterdir()) == []
