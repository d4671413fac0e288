from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.runs.provenance import dvc_state, git_state, require_clean, versions
from harness.runs.record_parts import DvcRecord, GitRecord
from harness.util.files import folder_md5, md5_of
from tests.conftest import git


def test_git_state_has_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state.commit or "") == 40
    assert state.dirty is False
    (tmp_path / "a").write_text("2")
    assert (git_state(tmp_path) or GitRecord()).dirty is True


def test_dvc_state_has_the_hash_of_the_dvc_file(tmp_path: Path) -> None:
    assert dvc_state(tmp_path / "data/train") is None
    file = tmp_path / "data.dvc"
    file.write_text(f"outs:\n- md5: {'01' * 16}.dir\n  size: 5\n  hash: md5\n  path: data\n")
    record = DvcRecord(file.as_posix(), f"{'01' * 16}.dir", False)
    assert dvc_state(tmp_path / "data/train") == record
    file.write_text("outs: []\n")
    assert dvc_state(tmp_path / "data") is None


def test_versions_names_the_important_packages() -> None:
    assert {"python", "harness", "torch", "torchvision", "numpy"} <= set(versions())


def test_dvc_state_compares_the_data_without_reading_known_files(tmp_path: Path) -> None:
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a.jpg").write_bytes(b"a")
    (tmp_path / "data/test.jpg").write_bytes(b"b")
    md5s = {"train/a.jpg": md5_of(b"a"), "test.jpg": md5_of(b"b")}
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {folder_md5(md5s)}\n  hash: md5\n  path: data\n")
    assert dvc_state(tmp_path / "data/train").matches is True
    (tmp_path / "data/train/a.jpg").write_bytes(b"changed")
    assert dvc_state(tmp_path / "data/train").matches is False
    known = {tmp_path / "data/train/a.jpg": md5_of(b"a")}
    assert dvc_state(tmp_path / "data/train", known).matches is True


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the current folder, with an experiment and a `data.dvc` in its commit."""
    monkeypatch.chdir(tmp_path)
    for name in ("x.py", "data.dvc"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    return tmp_path


DVC = DvcRecord("data.dvc", "b", True)


def test_require_clean_needs_a_commit_and_tracked_data(committed: Path) -> None:
    now = git_state()
    require_clean(now, DVC, "data", Path("x.py"))
    assert now is not None
    for wrong in (None, dataclasses.replace(now, dirty=True)):
        with pytest.raises(UsageError):
            require_clean(wrong, DVC, "data")
    for other in (None, dataclasses.replace(DVC, matches=False)):
        with pytest.raises(DataError):
            require_clean(now, other, "data")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_require_clean_refuses_files_that_git_ignores_by_a_flag(committed: Path, flag: str) -> None:
    git(committed, "update-index", flag, "x.py")
    (committed / "x.py").write_text("changed")
    assert git_state() is not None
    with pytest.raises(UsageError, match=r"ignores changes(.|\n)*x\.py"):
        require_clean(git_state(), DVC, "data")


def test_require_clean_refuses_code_that_is_not_in_a_commit(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (committed / ".git/info").mkdir(exist_ok=True)
    (committed / ".git/info/exclude").write_text("hidden*\n")
    for name in ("hidden.py", "hidden.dvc"):
        (committed / name).write_text("")
    for file in ("hidden.dvc", "../elsewhere/data.dvc"):
        with pytest.raises(UsageError, match=r"dvc is not in a commit"):
            require_clean(git_state(), dataclasses.replace(DVC, file=file), "data")
    with pytest.raises(UsageError, match=r"hidden\.py is not in a commit"):
        require_clean(git_state(), DVC, "data", Path("hidden.py"))
    module = types.ModuleType("hidden")
    module.__file__ = str(committed / "hidden.py")
    monkeypatch.setitem(sys.modules, "hidden", module)
    with pytest.raises(UsageError, match=r"hidden\.py is not in a commit"):
        require_clean(git_state(), DVC, "data", Path("x.py"))
