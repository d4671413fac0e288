"""Pushes and pulls if files are damaged, missing or of another version. Files here are not lost."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from pathlib import Path

import pytest

from harness.util.files import md5_of
from harness.versioning.remote import PLACEHOLDER
from harness.versioning.repo import missing_objects
from harness.versioning.tracked import read_tracked
from tests.conftest import git
from tests.versioning.conftest import FILES, Call, assert_reported, content_of, forget

pytest.importorskip("dvc")
WAVES = md5_of(FILES["train/sea/a.bin"])


def damage(store: Path, md5: str = WAVES) -> Path:
    """Writes other bytes to an object, in DVC's cache or in a remote that is a folder."""
    path = store / "files/md5" / md5[:2] / md5[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    return path


def is_kept_whole(project: Path, file: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DVC's own
        from dvc.repo import Repo

        with Repo(str(project)) as repo:
            return not missing_objects(repo, read_tracked(project / file))


def replace_version(project: Path, call: Call) -> str:
    """Tracks v2 of the data without pushing it, and restores v1. Returns the content of `data.dvc` for v2."""
    first = (project / "data.dvc").read_text()
    (project / "data/new").write_bytes(b"v2")
    assert call("data", "track", "data").code == 0
    second = (project / "data.dvc").read_text()
    (project / "data.dvc").write_text(first)
    assert call("data", "pull").code == 0
    assert content_of(project / "data") == FILES
    return second


@pytest.mark.parametrize("path", ["data", "one.bin"])
def test_missing_objects_names_missing_and_damaged_files(project: Path, call: Call, path: str) -> None:
    (project / "one.bin").write_bytes(FILES["train/sea/a.bin"])
    assert call("data", "track", path).code == 0
    assert is_kept_whole(project, f"{path}.dvc")
    one = damage(project / ".dvc/cache")
    assert not is_kept_whole(project, f"{path}.dvc")
    one.unlink()
    assert not is_kept_whole(project, f"{path}.dvc")


def test_missing_objects_names_a_damaged_list(stored: Path) -> None:
    damage(stored / ".dvc/cache", read_tracked(stored / "data.dvc").md5)
    assert not is_kept_whole(stored, "data.dvc")


def test_pull_changes_no_files_if_it_fails(stored: Path, call: Call) -> None:
    second = replace_version(stored, call)
    forget(stored, ".dvc/cache")
    (stored / "data.dvc").write_text(second)
    outcome = call("data", "pull")
    assert_reported(
        outcome, 5, "the remote storage does not have all files of data.dvc", "the files here are not changed"
    )
    assert content_of(stored / "data") == FILES


@pytest.mark.parametrize("remote", ["none", "placeholder", "no key", "gone"])
def test_pull_from_the_cache_needs_no_remote(stored: Path, call: Call, remote: str) -> None:
    second = replace_version(stored, call)
    shutil.rmtree(stored.parent / "storage")
    gdrive = (
        "[core]\n    remote = ours\n['remote \"ours\"']\n    gdrive_use_service_account = true\n    url = gdrive://"
    )
    if remote != "gone":
        config = {"none": "", "placeholder": f"{gdrive}{PLACEHOLDER}\n", "no key": f"{gdrive}1aTeamFolderOfOurs0000\n"}
        (stored / ".dvc/config").write_text(config[remote])
    (stored / "data.dvc").write_text(second)
    forget(stored, "data")
    outcome = call("data", "pull")
    assert (outcome.code, outcome.err) == (0, "")
    assert content_of(stored / "data") == FILES | {"new": b"v2"}


def test_pull_raises_if_an_object_in_the_remote_is_damaged(stored: Path, call: Call) -> None:
    damage(stored.parent / "storage")
    forget(stored)
    outcome = call("data", "pull")
    assert_reported(outcome, 5, "storage")
    assert b"damaged" not in content_of(stored / "data").values()


def test_pull_suggests_a_fix_that_repairs_the_remote(stored: Path, call: Call, tmp_path: Path) -> None:
    bad = damage(stored.parent / "storage")
    bad.write_bytes(bytes(len(FILES["train/sea/a.bin"])))  # of the right size: only a pull can notice
    clone = shutil.copytree(stored, tmp_path / "clone")
    forget(stored)
    outcome = call("data", "pull")
    (fix,) = [line for line in outcome.error_lines if line.startswith("  try: ")]
    assert bad.relative_to(stored.parent / "storage").as_posix() in outcome.err
    named = re.search(r"and (files/md5/\S+) there, then harness data push", fix)
    assert named is not None
    bad.unlink()
    (stored.parent / "storage" / named[1]).unlink()
    os.chdir(clone)
    assert call("data", "push").out == "data.dvc: 2 files sent\n"
    os.chdir(stored)
    assert call("data", "pull").code == 0  # the damaged file was removed from the cache
    assert content_of(stored / "data") == FILES


@pytest.mark.parametrize("how", ["emptied", "removed", "the list cut short"])
def test_push_sends_lost_files_again(stored: Path, call: Call, how: str) -> None:
    storage = stored.parent / "storage"
    bad = damage(storage, read_tracked(stored / "data.dvc").md5 if how == "the list cut short" else WAVES)
    if how == "removed":
        bad.unlink()
    pushed = call("data", "push")
    assert (pushed.code, "files sent" in pushed.out) == (0, True)
    assert call("data", "push").out == "data.dvc: the remote has all files\n"
    forget(stored)
    assert call("data", "pull").code == 0
    assert content_of(stored / "data") == FILES


def test_pull_suggests_to_pull_the_other_files_by_name(stored: Path, call: Call) -> None:
    (stored / "photos").mkdir()
    (stored / "photos/a").write_bytes(b"never pushed")
    assert call("data", "track", "photos").code == 0
    forget(stored, "data", "photos", ".dvc/cache")
    assert_reported(call("data", "pull"), 5, "photos.dvc", "harness data pull data.dvc for the others")
    assert call("data", "pull", "data.dvc").code == 0
    assert content_of(stored / "data") == FILES


def test_pull_with_force_discards_changes(stored: Path, call: Call) -> None:
    (stored / "data/empty").write_bytes(b"a mistake")
    (stored / "data/new").write_bytes(b"another")
    refused = call("data", "pull")
    assert_reported(refused, 4, "data/empty", "data/new", "harness data pull --force, to discard them")
    assert call("data", "pull", "--force").code == 0
    assert content_of(stored / "data") == FILES


def test_push_repairs_a_damaged_object_in_the_cache_from_the_file_here(stored: Path, call: Call) -> None:
    shutil.rmtree(stored.parent / "storage")
    forget(stored, "data")
    assert call("data", "pull").code == 0
    one = stored / "data/train/sea/a.bin"
    content = one.read_bytes()
    damage(stored / ".dvc/cache")
    one.unlink()  # in case it is the same file as the one in the cache
    one.write_bytes(content)
    (stored / "data/train/sea/same.bin").unlink()
    (stored / "data/train/sea/same.bin").write_bytes(content)
    assert call("data", "push").code == 0
    forget(stored)
    assert call("data", "pull").code == 0
    assert content_of(stored / "data") == FILES


def test_push_does_not_send_a_damaged_object(stored: Path, call: Call) -> None:
    shutil.rmtree(stored.parent / "storage")
    forget(stored, "data")
    damage(stored / ".dvc/cache")
    assert_reported(call("data", "push"), 4, "data cannot be sent")
    assert not (stored.parent / "storage/files").exists()


def test_push_notes_that_the_tracked_version_is_sent(stored: Path, call: Call) -> None:
    shutil.rmtree(stored.parent / "storage")
    (stored / "data/new").write_bytes(b"never tracked")
    outcome = call("data", "push")
    assert (outcome.code, outcome.out) == (0, "data.dvc: 5 files sent\n")
    assert outcome.err.startswith("note: data differs from the version in data.dvc; ")
    forget(stored)
    assert call("data", "pull").code == 0
    assert content_of(stored / "data") == FILES


def test_track_says_why_a_path_cannot_be_tracked(stored: Path, call: Call, tmp_path: Path) -> None:
    (stored / "notes").write_text("of git's")
    git(stored, "add", "notes")
    assert_reported(call("data", "track", "notes"), 2, "git tracks it already")
    (tmp_path / "elsewhere").mkdir()
    assert_reported(call("data", "track", tmp_path / "elsewhere"), 2, "is outside the project")
