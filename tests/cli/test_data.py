from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome


def test_data_demo_draws_once(call: Callable[..., Outcome], project: Path, demo: Path) -> None:
    shutil.copytree(demo, project / "data")
    outcome = call("data", "demo")
    assert (outcome.code, "are there already" in outcome.out) == (0, True)
    (project / "data/mine.jpg").write_bytes(b"x")
    assert call("data", "demo").code == 4
    assert "images drawn" in call("data", "demo", "--force").out
    assert not (project / "data/mine.jpg").exists()
    assert len(list((project / "data/train/sea").iterdir())) == 475


def test_data_demo_never_replaces_the_current_folder(
    call: Callable[..., Outcome], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "deep").mkdir()
    (project / "precious.txt").write_text("x")
    before = sorted(project.rglob("*"))
    monkeypatch.chdir(project / "deep")
    for folder in ("..", ".", project / "precious.txt"):
        outcome = call("data", "demo", "--to", folder, "--force")
        assert outcome.code == 4, folder
        assert len(outcome.error_lines) == 3
    (project / "link").symlink_to(project / "experiments", target_is_directory=True)
    assert call("data", "demo", "--to", project / "link", "--force").code == 4
    assert sorted(project.rglob("*")) == sorted([*before, project / "link"])
