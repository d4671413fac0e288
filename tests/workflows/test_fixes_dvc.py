"""Tests of a table of fixes for data that DVC tracks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.data.images import Side
from harness.versioning.tracked import CLEAN, read_tracked, state_of
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import git, track_by_dvc, write_files
from tests.fixes import SIX, checked, contents, table_of

ACTIONS = {"forest/1.jpg": "move to sea", "forest/2.jpg": "remove"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of git and DVC that tracks six files in `data`."""
    home = tmp_path / "project"
    write_files(home / "data", SIX)
    git(home, "init", "-q")
    track_by_dvc(home, "data")
    git(home, "add", "data.dvc")
    git(home, "commit", "-qm", "data")
    monkeypatch.chdir(home)
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name.lower()))
    return home


def test_apply_and_undo_each_add_a_version(home: Path) -> None:
    first = read_tracked(Path("data.dvc")).md5
    (kept,) = apply_fixes(table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")).kept
    tracked = read_tracked(Path("data.dvc"))
    assert (kept.md5, kept.files, kept.note, kept.problem) == (tracked.md5, 5, "", "")
    assert kept.md5 != first
    assert kept.add.split()[0] == "data.dvc"
    assert state_of(tracked).word == CLEAN
    assert "data-changes" not in git(home, "status", "--porcelain")
    (kept,) = undo_changes().kept
    assert kept.md5 == first
    assert git(home, "status", "--porcelain", "data.dvc") == ""
    assert contents(home / "data") == SIX


def test_apply_warns_of_earlier_differences(home: Path) -> None:
    write_files(home / "data", {"sea/new.jpg": b"new"})
    (kept,) = apply_fixes(table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")).kept
    assert kept.note == "data already differed from data.dvc (1 new): the new version includes these differences"
    assert kept.files == 6


def test_apply_finds_the_tracked_folder_above_the_data_and_from_below(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / "data")
    table = table_of(home / "fixes.csv", ACTIONS, checked("."), ".")
    applied = apply_fixes(table)
    assert applied.changes[0].folder.parent == home / "data-changes"
    assert applied.kept[0].problem == ""
    assert applied.kept[0].path == "."
    assert undo_changes().kept[0].problem == ""
    assert contents(home / "data") == SIX


def test_apply_keeps_the_moves_if_dvc_fails(home: Path) -> None:
    (home / ".dvc/config").write_text("[core]\n    nonsense = 1\n")
    applied = apply_fixes(table_of(home / "fixes.csv", ACTIONS, checked("data"), "data"))
    (kept,) = applied.kept
    assert "data.dvc still names the old version" in kept.problem
    assert kept.problem.endswith("then type harness data track data")
    assert (home / "data/sea/1-2.jpg").exists()
    undo_changes()
    assert contents(home / "data") == SIX


def test_apply_without_dvc_names_the_package_to_install(home: Path) -> None:
    table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    script = (
        "import sys; sys.modules['dvc'] = None\nfrom harness.cli.main import main; main(['data', 'apply', 'fixes.csv'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("warning: data.dvc tracks the data, but DVC is not installed: type pip install")
    assert line.endswith("then type harness data track data")


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "copy"])
def test_apply_moves_links_to_the_dvc_cache(home: Path, kind: str) -> None:
    """With cache.type=symlink each image is a read-only link into DVC's cache, whose content must not be touched."""
    subprocess.run([sys.executable, "-m", "dvc", "config", "cache.type", kind], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "--relink", "-q"], check=True, capture_output=True)
    assert (home / "data/sea/1.jpg").is_symlink() is (kind == "symlink")
    cache = contents(home / ".dvc/cache")
    applied = apply_fixes(table_of(home / "fixes.csv", ACTIONS, checked("data"), "data"))
    assert (home / "data/sea/1-2.jpg").read_bytes() == b"forest 1"
    assert (applied.changes[0].folder / "removed/data/forest/2.jpg").read_bytes() == b"forest 2"
    assert applied.kept[0].problem == ""
    assert cache.items() <= contents(home / ".dvc/cache").items()
    undo_changes()
    assert contents(home / "data") == SIX
    assert state_of(read_tracked(Path("data.dvc"))).word == CLEAN


def test_apply_adds_a_version_of_each_tracked_split(home: Path) -> None:
    for side in ("train", "test"):
        write_files(home / "both" / side, SIX)
    subprocess.run(
        [sys.executable, "-m", "dvc", "add", "-q", "both/train", "both/test"], check=True, capture_output=True
    )
    images = checked("both/train", sides={Side.TEST: "both/test"})
    actions = {"train/sea/1.jpg": "remove", "test/sea/2.jpg": "move to forest"}
    applied = apply_fixes(
        table_of(home / "fixes.csv", actions, images, "both/train", folder="both", test_data="both/test")
    )
    assert {kept.path: kept.problem for kept in applied.kept} == {"both/train": "", "both/test": ""}
    assert [changes.folder.parent.name for changes in applied.changes] == ["both-changes"]
    assert len(undo_changes().kept) == 2
    assert contents(home / "both/train") == contents(home / "both/test") == SIX


def test_apply_adds_a_version_of_a_table(home: Path) -> None:
    write_files(home, {"labels.csv": b"path,label\ndata/sea/1.jpg,sea\ndata/sea/2.jpg,sea\ndata/forest/1.jpg,forest\n"})
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "labels.csv"], check=True, capture_output=True)
    images = checked("labels.csv")
    table = table_of(home / "fixes.csv", {"data/sea/1.jpg": "move to forest"}, images, "labels.csv", folder=".")
    (kept,) = apply_fixes(table).kept
    assert (kept.path, kept.files, kept.problem) == ("labels.csv", 1, "")
    assert kept.md5 == read_tracked(Path("labels.csv.dvc")).md5
    assert undo_changes().kept[0].md5 != kept.md5
