from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from harness.data.check import check_images
from harness.data.copies import find_copies
from harness.data.listing import list_images
from tests.data.test_near_copies import saved, textures


def test_find_copies_of_two_listings(tmp_path: Path) -> None:
    """Image 0 is there three times, as PNG and as JPEG; image 1 of the test is a crop of image 1 of training."""
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


def test_find_copies_leaves_tiny_images_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("x", "y"):
        (tmp_path / label).mkdir()
    for number, image in enumerate(textures(4)):
        small = image.resize((12, 12))
        small.save(tmp_path / "xy"[number % 2] / f"{number}.png")
        noisy = np.clip(np.asarray(small, int) + rng.integers(-3, 4, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / "xy"[number % 2] / f"{number}n.png")
    assert find_copies([check_images(list_images(tmp_path))]).near == ()
