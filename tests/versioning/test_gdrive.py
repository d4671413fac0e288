"""Google Drive, from the configuration to the bytes, with a fake of its API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.versioning.fake_drive import Drive, key, redirect, running

pytest.importorskip("dvc_gdrive")
HARNESS = [sys.executable, "-m", "harness"]


@pytest.fixture
def drive() -> Iterator[Drive]:
    with running() as fake_drive:
        yield fake_drive


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git and DVC project with two small files in `data/`."""
    home = tmp_path / "project"
    (home / "data" / "sea").mkdir(parents=True)
    (home / "data" / "sea" / "a.txt").write_text("waves")
    (home / "data" / "sea" / "b.txt").write_text("more waves")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=home, check=True, capture_output=True)
    return home


def run(project: Path, drive: Drive, *arguments: str, secret: str | None = None) -> subprocess.CompletedProcess[str]:
    (project.parent / "site").mkdir(exist_ok=True)
    site = redirect(project.parent / "site")
    environment = {name: value for name, value in os.environ.items() if name != "GDRIVE_CREDENTIALS_DATA"}
    path = os.pathsep.join(filter(None, [str(site), environment.get("PYTHONPATH")]))
    environment |= {"PYTHONPATH": path, "FAKE_DRIVE": drive.address, "NO_PROXY": "*"}
    if secret is not None:
        environment["GDRIVE_CREDENTIALS_DATA"] = secret
    return subprocess.run(
        [*HARNESS, "data", *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def test_push_and_pull_with_a_key_in_the_environment(project: Path, drive: Drive) -> None:
    secret = json.dumps(key(drive))
    assert run(project, drive, "remote", "gdrive", drive.folder).returncode == 0
    assert run(project, drive, "track", "data").returncode == 0
    pushed = run(project, drive, "push", secret=secret)
    assert pushed.returncode == 0, pushed.stderr
    assert len(drive.contents) == 3  # two files and their list
    before = {path.name: path.read_bytes() for path in (project / "data").rglob("*.txt")}
    subprocess.run(["rm", "-rf", str(project / "data"), str(project / ".dvc" / "cache")], check=True)
    pulled = run(project, drive, "pull", secret=secret)
    assert pulled.returncode == 0, pulled.stderr
    assert {path.name: path.read_bytes() for path in (project / "data").rglob("*.txt")} == before


def test_push_and_pull_with_a_key_in_a_file(project: Path, drive: Drive, tmp_path: Path) -> None:
    made = key(drive)
    (tmp_path / "key.json").write_text(json.dumps(made))
    configured = run(project, drive, "remote", "gdrive", drive.folder, "--service-account", str(tmp_path / "key.json"))
    assert configured.returncode == 0
    assert made["client_email"] in configured.stdout
    assert run(project, drive, "track", "data").returncode == 0
    pushed = run(project, drive, "push", "data")
    assert pushed.returncode == 0, pushed.stderr
    assert "key.json" not in (project / ".dvc" / "config").read_text()
    assert "key.json" in (project / ".dvc" / "config.local").read_text()
    ignored = subprocess.run(
        ["git", "check-ignore", ".dvc/config.local"], cwd=project, capture_output=True, check=False
    )
    assert ignored.returncode == 0
    assert_nowhere(made["private_key"].splitlines()[1], project, pushed)


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"refuse": (403, "storageQuotaExceeded")}, "has no storage in a user's My Drive"),
        pytest.param({"refuse": (403, "insufficientFilePermissions")}, "can read the folder", marks=pytest.mark.slow),
        pytest.param({"bad_key": True}, "Google refuses the credentials", marks=pytest.mark.slow),
        pytest.param({"hidden": True}, "cannot see that folder", marks=pytest.mark.slow),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_push_reports_a_refusal_of_google_and_not_the_key(
    project: Path, drive: Drive, trouble: dict[str, object], message: str
) -> None:
    made = key(drive)
    for name, value in trouble.items():
        setattr(drive, name, value)
    run(project, drive, "remote", "gdrive", drive.folder)
    run(project, drive, "track", "data")
    failed = run(project, drive, "push", "--debug", secret=json.dumps(made))
    assert failed.returncode == 5
    assert message in failed.stderr
    assert_nowhere(made["private_key"].splitlines()[1], project, failed)


def assert_nowhere(secret: str, project: Path, process: subprocess.CompletedProcess[str]) -> None:
    """Asserts that no line of the key is in an output or in a file of the project."""
    assert secret not in process.stdout + process.stderr
    files = [path for path in project.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
