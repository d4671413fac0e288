from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.cache.store import Cache
from harness.data.check import check_images
from harness.data.describe import describe_images
from harness.data.listing import list_images
from tests.data.files import file_of, tiff

RAMP = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (80, 1))  # (80, 100), from 0 to 198


@pytest.fixture
def copy(scenery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenery, tmp_path / "copy"))


def test_describe_images_keeps_the_order_of_the_images(copy: Path) -> None:
    Image.new("L", (30, 20), 7).save(copy / "sea" / "dark.png")
    images = list_images(copy)
    facts, appearance = describe_images(images, check_images(images))
    place = images.paths.index("sea/dark.png")
    assert len(facts) == len(appearance.blur) == len(images)
    assert (facts[place].format, facts[place].suffix, facts[place].width) == ("PNG", ".png", 30)
    assert (appearance.brightness[place], appearance.contrast[place]) == (7, 0)
    assert [place for place, fact in enumerate(facts) if fact.format == "PNG"] == [place]
    assert np.isfinite(appearance.brightness).all()


def test_describe_images_returns_the_known_facts_of_damaged_files(copy: Path) -> None:
    whole = (copy / "sea/sea00.jpg").read_bytes()
    (copy / "sea/sea00.jpg").write_bytes(whole[:-40])
    (copy / "sea/sea01.jpg").write_bytes(b"")
    (copy / "sea/sea02.jpg").write_bytes(b"%PDF-1.4")
    (copy / "sea/link.jpg").symlink_to(copy / "nowhere.jpg")
    images = list_images(copy)
    facts, appearance = describe_images(images, check_images(images))
    by_path = dict(zip(images.paths, facts, strict=True))
    assert by_path["sea/sea00.jpg"].format == "JPEG"
    assert by_path["sea/sea00.jpg"].width > 0
    assert [by_path[f"sea/{name}.jpg"].format for name in ("sea01", "sea02", "link")] == ["", "", ""]
    assert int(np.isnan(appearance.brightness).sum()) == 4


def test_describe_images_decodes_a_file_once(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, images = Cache(tmp_path / "cache"), list_images(copy)
    check = check_images(images)
    facts, first = describe_images(images, check, cache)
    (copy / "sea" / "added.png").write_bytes(file_of(RAMP))
    more = list_images(copy)
    assert describe_images(more, check_images(more), cache)[1].brightness[more.paths.index("sea/added.png")] == 99
    monkeypatch.setattr("harness.data.describe.read", None)  # nothing is decoded again
    again, second = describe_images(images, check, cache)
    assert again == facts
    assert np.array_equal(np.array(first), np.array(second), equal_nan=True)


def test_describe_images_uses_one_range_for_all_16_bit_images(tmp_path: Path) -> None:
    """In visual-layer/fastdup#69, 16-bit images are read as 8-bit images."""
    for name, factor in {"whole": 20, "dark": 2}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tif").write_bytes(tiff(RAMP.astype(np.uint16) * factor))
    images = list_images(tmp_path)
    check = check_images(images)
    _, appearance = describe_images(images, check)  # 3960 needs 12 bits
    assert images.paths == ("dark/a.tif", "whole/a.tif")
    assert appearance.brightness.tolist() == pytest.approx([99 * 2 * 255 / 4095, 99 * 20 * 255 / 4095], abs=1)
    _, given = describe_images(images, check, value_range=(0, 8000))
    assert given.brightness.tolist() == pytest.approx([99 * 2 * 255 / 8000, 99 * 20 * 255 / 8000], abs=1)


def test_describe_images_of_values_whose_range_is_not_clear(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tif").write_bytes(tiff(RAMP.astype(np.float32) / 10 - 5))
    images = list_images(tmp_path)
    _, appearance = describe_images(images, check_images(images))
    assert appearance.brightness.tolist() == pytest.approx([127.5, 127.5], abs=2)
