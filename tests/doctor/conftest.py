"""Shared by the tests of the doctor: a folder outside git, a clean repository, and helpers to read findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.doctor.finding import Finding
from harness.util.files import folder_md5, md5_of
from tests.conftest import git as git_in


def git(*arguments: str) -> None:
    git_in(Path(), *arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder outside git, as the current folder."""
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "GDRIVE_CREDENTIALS_DATA"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def repo(folder: Path) -> Path:
    """A git repository with one clean commit, and data that match `data.dvc`."""
    (folder / "data").mkdir()
    (folder / "data/a.txt").write_bytes(b"a")
    md5 = folder_md5({"a.txt": md5_of(b"a")})
    (folder / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  nfiles: 1\n  hash: md5\n  path: data\n")
    (folder / ".gitignore").write_text("/data\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "x")
    return folder


def words(findings: Iterator[Finding]) -> dict[str, str]:
    return {finding.subject: finding.word for finding in findings}


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding
