"""Tests of `harness init`: it writes a project, and changes no existing file."""

from __future__ import annotations

import ast
import dataclasses
import os
from pathlib import Path

import pytest

from harness.config.experiment_file import ExperimentFile
from harness.errors import StorageError, UsageError
from harness.workflows.init import FILES, IGNORED, QUICKSTART, README, make_project
from tests.conftest import git

ROOT = Path(__file__).parents[2]


def test_make_project_writes_all_files_only_once(tmp_path: Path) -> None:
    folder = tmp_path / "My project é"
    made = make_project(folder)
    assert made.written == tuple(FILES)
    assert made.kept == ()
    assert not made.has_git
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(contents) == len(FILES)
    again = make_project(folder)
    assert again == dataclasses.replace(made, written=(), kept=tuple(FILES))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == contents
    assert all(b"\r" not in content for content in contents.values())


def test_make_project_keeps_existing_files_and_lists_missing_gitignore_lines(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("data\n/runs\n*.pt\n# models")  # without a final line ending
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/quickstart.py").write_text("mine")
    (tmp_path / "README.md").symlink_to("nowhere")
    made = make_project(tmp_path)
    assert made.written == ()
    assert made.kept == tuple(FILES)
    assert (tmp_path / "experiments/quickstart.py").read_text() == "mine"
    assert (tmp_path / "README.md").is_symlink()
    assert (tmp_path / ".gitignore").read_text() == "data\n/runs\n*.pt\n# models"
    assert made.not_ignored == tuple(line for line in IGNORED if line not in ("/data/", "/runs/", "*.pt"))


def test_make_project_writes_a_gitignore_for_all_outputs(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert make_project(tmp_path / "below").has_git
    made = make_project(tmp_path)
    assert made.has_git
    paths = "data/train/a.jpg runs/x/run.json mlruns/1 mlflow.db mlflow.db-wal optuna.journal .harness/runs.jsonl"
    paths += " models/champion.pt .venv/bin/python experiments/__pycache__/a.pyc weights.pth"
    assert git(tmp_path, "check-ignore", *paths.split()).splitlines() == paths.split()
    tracked = git(tmp_path, "ls-files", "--others", "--exclude-standard").splitlines()
    assert {*FILES} <= {*tracked}
    own = {line for line in (ROOT / ".gitignore").read_text().splitlines() if line and line[0] != "#"}
    of_the_repository = {"*.egg-info/", ".*_cache/", ".coverage", "/dvc_plots/", "/docs/_build/"}
    assert own - of_the_repository <= {*IGNORED}


def test_make_project_writes_the_quickstart_of_the_repository(tmp_path: Path) -> None:
    make_project(tmp_path)
    mine = ExperimentFile.run(tmp_path / "experiments/quickstart.py")
    theirs = ExperimentFile.run(ROOT / "experiments/quickstart.py")
    assert mine.experiment.to_dict() == theirs.experiment.to_dict()
    spaces = [ast.dump(_function(text)) for text in (QUICKSTART, (ROOT / "experiments/quickstart.py").read_text())]
    assert spaces[0] == spaces[1]


def test_make_project_readme_has_only_existing_commands() -> None:
    from harness.cli.main import VERBS

    commands = [line.split()[1] for line in README.splitlines() if line.startswith("harness ")]
    assert len(commands) > 8
    assert {*commands} <= {*VERBS}


def test_make_project_detects_folders_of_images(tmp_path: Path) -> None:
    for name in ("cat/1.JPEG", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    assert make_project(tmp_path).has_images


def test_make_project_refuses_files_and_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/experiments").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    for folder, what in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "link", "a broken link"),
        (tmp_path / "odd", "experiments is a file"),
        (tmp_path, "is your home directory"),
        (tmp_path / "odd/..", "is your home directory"),
        (Path(tmp_path.anchor), "is the root of a file system"),
    ):
        with pytest.raises(UsageError, match=what):
            make_project(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_make_project_names_the_command_after_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError) as caught:
        make_project(tmp_path / "a b")
    assert caught.value.exit_code == 1
    assert caught.value.fix.endswith(f", then harness init '{tmp_path / 'a b'}'")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _function(text: str) -> ast.FunctionDef:
    function = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    function.body = function.body[1:]  # without its docstring
    return function
