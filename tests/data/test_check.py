from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.cache.store import Cache
from harness.data.check import check_images, undecodable_error
from harness.data.decode import read
from harness.data.fingerprint import fingerprint
from harness.data.groups import numbered, sets_of
from harness.data.listing import list_images
from harness.data.prepare import Preparation


@pytest.fixture
def copy(scenery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenery, tmp_path / "copy"))


def test_check_images_finds_no_problem_in_valid_images(scenery: Path) -> None:
    images = list_images(scenery)
    check = check_images(images)
    assert check.problems == {}
    assert check.hashes[0] == hashlib.md5((scenery / images.paths[0]).read_bytes()).hexdigest()
    assert numbered(check.hashes, check.looks()) is None


def test_check_images_names_each_undecodable_image_and_the_reason(copy: Path) -> None:
    whole = (copy / "sea/sea00.jpg").read_bytes()
    (copy / "sea/sea00.jpg").write_bytes(whole[: len(whole) // 2])
    (copy / "sea/sea01.jpg").write_bytes(b"")
    (copy / "forest/forest00.jpg").write_bytes(b"no image")
    (copy / "forest/link.jpg").symlink_to(copy / "nowhere.jpg")
    images = list_images(copy)
    check = check_images(images)
    assert check.problems == {
        "forest/forest00.jpg": "a text file",
        "forest/link.jpg": "a broken link",
        "sea/sea00.jpg": "truncated",
        "sea/sea01.jpg": "empty",
    }
    error = undecodable_error(check, images)
    assert error.what.startswith("4 of 34 images")
    assert error.what.endswith("forest 2 of 16, sea 2 of 18")
    assert all(f"{path} ({why})" in error.why for path, why in check.problems.items())
    rest, rest_check = check.without(images)
    assert len(rest) == len(rest_check.hashes) == 30
    assert rest_check.hashes == check_images(rest).hashes


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_check_images_names_an_image_without_read_permission(copy: Path) -> None:
    (copy / "sea/sea00.jpg").chmod(0)
    images = list_images(copy)
    if os.geteuid() == 0:  # root may read all files: become another user for this call
        for folder in (copy, *copy.parents[:4]):
            folder.chmod(0o755)
        check_images(images)  # loads the modules that are imported late
        os.seteuid(65534)
        try:
            problems = check_images(images).problems
        finally:
            os.seteuid(0)
    else:
        problems = check_images(images).problems
    assert problems == {"sea/sea00.jpg": "not permitted"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_check_images_names_a_pipe_and_does_not_wait_for_it(copy: Path) -> None:
    os.mkfifo(copy / "sea/pipe.jpg")
    assert check_images(list_images(copy)).problems == {"sea/pipe.jpg": "not a file"}


def test_check_images_gives_copies_the_same_fingerprint(copy: Path) -> None:
    shutil.copy(copy / "sea/sea00.jpg", copy / "forest/again.jpg")
    Image.open(copy / "sea/sea01.jpg").save(copy / "sea/other.png")  # other bytes, the same pixels
    images = list_images(copy)
    check = check_images(images)
    copies = [[images.paths[i] for i in indices] for indices in sets_of(numbered(check.hashes, check.looks()))]
    assert copies == [["forest/again.jpg", "sea/sea00.jpg"], ["sea/other.png", "sea/sea01.jpg"]]


def test_check_images_takes_fingerprints_from_the_cache(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, images = Cache(tmp_path / "cache"), list_images(copy)
    first = check_images(images, cache=cache)
    monkeypatch.setattr("harness.data.check.read", None)  # nothing is decoded again
    again = check_images(images, cache=cache)
    assert again.fingerprints.tolist() == first.fingerprints.tolist()
    assert 0 not in again.fingerprints


def test_digest_depends_on_names_and_contents(copy: Path) -> None:
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


def test_digest_equals_the_digest_of_dvc(copy: Path) -> None:
    pytest.importorskip("dvc")
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "copy"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=copy.parent, check=True, env={**os.environ})
    images = list_images(copy)
    assert f"md5: {check_images(images).digest(images)}" in (copy.parent / "copy.dvc").read_text()


def test_fingerprint_ignores_an_opaque_alpha_channel(copy: Path) -> None:
    def print_of(image: Image.Image, **options: Any) -> int:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return fingerprint(read(buffer.getvalue()))

    picture = Image.open(copy / "sea/sea00.jpg")
    opaque, glass = picture.convert("RGBA"), picture.convert("RGBA")
    glass.putpixel((0, 0), (0, 0, 0, 0))
    assert print_of(picture) == print_of(opaque) != print_of(glass)
    assert print_of(picture.convert("L")) == print_of(picture.convert("LA"))


def test_check_images_names_a_file_whose_values_are_all_nan(copy: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(copy / "sea/nan.tif")
    check = check_images(list_images(copy), Preparation(16))
    assert check.problems == {"sea/nan.tif": "none of its values is a number"}
    assert check.deep == 0
