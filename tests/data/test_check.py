from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.data.check import check_images, undecodable_error
from harness.data.folders import list_images


@pytest.fixture
def copy(scenery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenery, tmp_path / "copy"))


def test_sound_images(scenery: Path) -> None:
    images = list_images(scenery)
    check = check_images(images)
    assert check.problems == {}
    assert check.hashes[0] == hashlib.md5((scenery / images.paths[0]).read_bytes()).hexdigest()
    assert check.duplicates(images) == []


def test_every_image_that_cannot_be_decoded_is_named_with_its_reason(copy: Path) -> None:
    whole = (copy / "sea/sea00.jpg").read_bytes()
    (copy / "sea/sea00.jpg").write_bytes(whole[: len(whole) // 2])
    (copy / "sea/sea01.jpg").write_bytes(b"")
    (copy / "forest/forest00.jpg").write_bytes(b"no image")
    (copy / "forest/link.jpg").symlink_to(copy / "nowhere.jpg")
    images = list_images(copy)
    check = check_images(images)
    assert check.problems == {
        "forest/forest00.jpg": "not an image",
        "forest/link.jpg": "a broken link",
        "sea/sea00.jpg": "truncated",
        "sea/sea01.jpg": "empty",
    }
    error = undecodable_error(check, images)
    assert error.what.startswith("4 of 34 images")
    assert all(f"{path} ({why})" in error.why for path, why in check.problems.items())
    rest, rest_check = check.without(images)
    assert len(rest) == len(rest_check.hashes) == 30
    assert rest_check.hashes == check_images(rest).hashes


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_an_image_that_may_not_be_read(copy: Path) -> None:
    (copy / "sea/sea00.jpg").chmod(0)
    images = list_images(copy)
    if os.geteuid() == 0:  # root may read all: be someone else for a moment
        for folder in (copy, *copy.parents[:4]):
            folder.chmod(0o755)
        check_images(images)  # loads what is imported late
        os.seteuid(65534)
        try:
            problems = check_images(images).problems
        finally:
            os.seteuid(0)
    else:
        problems = check_images(images).problems
    assert problems == {"sea/sea00.jpg": "not permitted"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_a_pipe_is_named_and_not_waited_for(copy: Path) -> None:
    os.mkfifo(copy / "sea/pipe.jpg")
    assert check_images(list_images(copy)).problems == {"sea/pipe.jpg": "not a file"}


def test_copies_are_found(copy: Path) -> None:
    shutil.copy(copy / "sea/sea00.jpg", copy / "forest/again.jpg")
    images = list_images(copy)
    assert check_images(images).duplicates(images) == [("forest/again.jpg", "sea/sea00.jpg")]


def test_the_digest_is_of_names_and_contents(copy: Path) -> None:
    def digest() -> str:
        images = list_images(copy)
        return check_images(images).digest(images)

    first = digest()
    assert digest() == first
    (copy / "sea/sea00.jpg").rename(copy / "sea/moved.jpg")
    moved = digest()
    assert moved != first
    (copy / "sea/moved.jpg").write_bytes((copy / "sea/sea01.jpg").read_bytes())
    assert digest() not in (first, moved)


def test_the_digest_is_the_one_of_dvc(copy: Path) -> None:
    pytest.importorskip("dvc")
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "copy"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=copy.parent, check=True, env={**os.environ})
    images = list_images(copy)
    assert f"md5: {check_images(images).digest(images)}" in (copy.parent / "copy.dvc").read_text()
