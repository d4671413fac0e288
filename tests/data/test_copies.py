from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.cache.store import Cache
from harness.data.check import Check, check_images
from harness.data.copies import find_copies
from harness.data.listing import list_images
from tests.data.test_near_copies import saved, textures


def test_find_copies_of_two_listings(tmp_path: Path) -> None:
    """There are three files of image 0, PNG and JPEG. Image 1 of the test is a crop of image 1 of training."""
    images = textures(6)
    for side, names in (("train", ("a", "b", "c")), ("test", ("a", "b"))):
        for label in ("x", "y"):
            (tmp_path / side / label).mkdir(parents=True)
        for number, name in enumerate(names):
            images[number].save(tmp_path / side / "x" / f"{name}.png")
        images[5 if side == "test" else 4].save(tmp_path / side / "y" / "d.png")
    images[0].save(tmp_path / "train/y/a.bmp")
    saved(images[1], quality=40).save(tmp_path / "test/x/b.png")
    (tmp_path / "test/y/damaged.png").write_bytes(b"no image")
    training, test = (list_images(tmp_path / side) for side in ("train", "test"))
    copies = find_copies([check_images(training), check_images(test)])
    assert training.paths == ("x/a.png", "x/b.png", "x/c.png", "y/a.bmp", "y/d.png")
    assert test.paths == ("x/a.png", "x/b.png", "y/d.png", "y/damaged.png")
    assert copies.first.tolist() == [0, 1, 2, 0, 4, 0, 6, 7, -1]
    assert [(pair.first, pair.second) for pair in copies.near] == [(1, 6)]
    assert copies.near_across(range(5, 9), range(5)) == [6]
    assert copies.near_across(range(5), range(5, 9)) == [1]
    assert copies.near_across([0, 2], range(5, 9)) == []


def test_find_copies_does_not_compare_tiny_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("x", "y"):
        (tmp_path / label).mkdir()
    for number, image in enumerate(textures(4)):
        small = image.resize((12, 12))
        small.save(tmp_path / "xy"[number % 2] / f"{number}.png")
        noisy = np.clip(np.asarray(small, int) + rng.integers(-3, 4, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / "xy"[number % 2] / f"{number}n.png")
    assert find_copies([check_images(list_images(tmp_path))]).near == ()


def check_of(folder: Path, images: list[Image.Image]) -> Check:
    """The check of these images in one class, and of a white image, the last one, in another class."""
    for number, image in enumerate([*images, Image.new("RGB", (20, 20), "white")]):
        path = folder / "xy"[number == len(images)] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    return check_images(list_images(folder))


def test_find_copies_stores_near_copies_in_the_cache(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    images, kept = textures(5), tmp_path_factory.mktemp("kept")
    check = check_of(tmp_path, [*images, ImageOps.mirror(images[2]), saved(images[4], quality=40)])
    steps: list[int] = []
    first = find_copies([check], lambda: steps.append(1), Cache(kept))
    assert [(pair.first, pair.second, pair.turn) for pair in first.near] == [(2, 5, "mirrored"), (4, 6, "")]
    assert steps
    steps.clear()
    assert find_copies([check], lambda: steps.append(1), Cache(kept)).near == first.near
    assert not steps
    assert find_copies([check], cache=Cache(kept), across=5).near == first.near
    assert find_copies([check], cache=Cache(kept), across=6).near == first.near[1:]
    assert len(Cache(kept).entries()) == 3


def test_find_copies_stores_an_empty_result_in_the_cache(tmp_path: Path) -> None:
    check, lines = check_of(tmp_path, textures(3)), list[str]()
    cache = Cache(tmp_path / "cache", print_line=lines.append)
    assert find_copies([check], cache=cache).near == find_copies([check], cache=cache).near == ()
    assert not lines
    assert [(entry.kind, entry.about) for entry in cache.entries()] == [("copies", "near copies among 4 images")]


def test_partners_across_names_the_nearest_copy(tmp_path: Path) -> None:
    images = textures(4)
    again = [saved(images[1], quality=15), saved(images[1], quality=90), saved(images[3], quality=40)]
    copies = find_copies([check_of(tmp_path, [*images, *again])])
    partners = copies.partners_across([1, 3], [0, 4, 5])
    assert {i: partner for i, (partner, _) in partners.items()} == {1: 5}
    everything = copies.partners_across(range(8), range(8))
    assert [*everything] == copies.near_across(range(8), range(8)) == [1, 3, 4, 5, 6]
    assert [everything[i][0] for i in (1, 3, 5, 6)] == [5, 6, 1, 3]


def test_find_copies_applies_the_exif_rotation(tmp_path: Path) -> None:
    """As in btd/sharp-phash#1 and jhnc/findimagedupes#3: the pixels of one image are rotated, the other has EXIF."""
    for number, image in enumerate(textures(4)):
        folder = tmp_path / "xy"[number % 2]
        folder.mkdir(exist_ok=True)
        image.save(folder / f"{number}.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # to be rotated clockwise by 90 degrees for display
        image.transpose(Image.Transpose.ROTATE_90).save(folder / f"{number}.jpg", exif=exif, quality=80)
    copies = find_copies([check_images(list_images(tmp_path))])
    assert [(pair.first, pair.second, pair.turn) for pair in copies.near] == [(i, i + 1, "") for i in (0, 2, 4, 6)]
