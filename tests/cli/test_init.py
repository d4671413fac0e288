"""`harness init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome, git


def test_init_prints_written_files_and_next_commands(
    call: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("init", "a b")
    assert done.code == 0
    assert done.out.splitlines() == [
        "wrote  a b/experiments/quickstart.py",
        "wrote  a b/.gitignore",
        "wrote  a b/README.md",
        "git: not a git repository; cd 'a b'; git init   makes it one, so that runs can record their commit",
        "next: cd 'a b'; harness data demo; harness run quickstart",
        "      harness new NAME --data FOLDER  for your images",
    ]
    monkeypatch.chdir(tmp_path / "a b")
    assert call("run", "quickstart", "--dry-run").error_lines[0].startswith("error: data/train is not there")
    git(tmp_path / "a b", "init", "-q")
    (tmp_path / "a b/.gitignore").write_text("/data/\n")
    again = call("init")
    assert again.code == 0
    assert "nothing was written: all files exist already" in again.out
    assert "note: .gitignore lacks /models/, /runs/, " in again.out
    assert "no git repository" not in again.out
    assert (tmp_path / "a b/.gitignore").read_text() == "/data/\n"


def test_init_of_a_file_is_a_usage_error(call: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "x\x1b[31m").write_text("")
    done = call("init", tmp_path / "x\x1b[31m")
    assert done.code == 2
    assert len(done.error_lines) == 3
    assert "\x1b" not in done.err


def test_init_fails_if_the_folder_cannot_be_written(call: Callable[..., Outcome]) -> None:
    done = call("init", "/proc/nowhere")
    assert done.code == 1
    assert len(done.error_lines) == 3
