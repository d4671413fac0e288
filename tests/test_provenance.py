from __future__ import annotations

import subprocess
from pathlib import Path

from harness.provenance import dvc_state, git_state, versions


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_and_whether_anything_differs_from_it(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert (git_state(tmp_path) or {})["dirty"] is True


def test_the_hash_in_the_dvc_file_that_tracks_the_data(tmp_path: Path) -> None:
    assert dvc_state(tmp_path / "data/train") is None
    file = tmp_path / "data.dvc"
    file.write_text("outs:\n- md5: 0123456789abcdef.dir\n  size: 5\n  hash: md5\n  path: data\n")
    assert dvc_state(tmp_path / "data/train") == {"file": file.as_posix(), "md5": "0123456789abcdef.dir"}
    file.write_text("outs: []\n")
    assert dvc_state(tmp_path / "data") is None


def test_the_versions_that_a_number_can_depend_on() -> None:
    assert {"python", "harness", "torch", "torchvision", "numpy"} <= set(versions())
