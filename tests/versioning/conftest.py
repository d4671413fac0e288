"""Shared by the tests of versioning: a small project, and a remote in a folder next to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome, made_once, write_files

Call = Callable[..., Outcome]
FILES = {
    "train/sea/a.bin": bytes(range(256)),
    "train/sea/same.bin": bytes(range(256)),
    "train/forest/été 森.txt": "森".encode(),
    ".hidden/note": b"\r\n",
    "empty": b"",
}


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC project with five small files in `data/`, which are not tracked."""

    def make(home: Path) -> None:
        write_files(home / "data", FILES)
        for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
            subprocess.run(command, cwd=home, check=True, capture_output=True)

    return made_once(tmp_path_factory, "versioned", make)


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `template`, as the current folder."""
    home = Path(shutil.copytree(template, tmp_path / "project"))
    monkeypatch.chdir(home)
    monkeypatch.delenv("GDRIVE_CREDENTIALS_DATA", raising=False)
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name.lower()))
    return home


@pytest.fixture
def stored(project: Path, call: Call) -> Path:
    """The project, with tracked data that are also in the remote, the folder `storage` next to it."""
    for arguments in (("remote", project.parent / "storage"), ("track", "data"), ("push",)):
        outcome = call("data", *arguments)
        assert outcome.code == 0, outcome.err
    return project


def forget(project: Path, *names: str) -> None:
    for name in names or ("data", ".dvc/cache"):
        shutil.rmtree(project / name)


def assert_reported(outcome: Outcome, code: int, *words: str) -> None:
    """Asserts that a command prints only an error of three lines."""
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    assert len(outcome.error_lines) == len(outcome.err.splitlines()) == 3, outcome.err
    for word in words:
        assert word in outcome.err
