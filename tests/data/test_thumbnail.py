from __future__ import annotations

import io

import pytest
from PIL import Image

from harness.data.thumbnail import thumbnail


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_thumbnail_is_a_small_jpeg_without_metadata(mode: str) -> None:
    image = Image.new(mode, (400, 200))
    image.info = {"exif": b"Exif\0\0secret", "comment": b"secret", "icc_profile": b"secret"}
    content = thumbnail(image, 100)
    with Image.open(io.BytesIO(content)) as small:
        assert (small.format, small.mode, small.size) == ("JPEG", mode, (100, 50))
    assert b"secret" not in content
    assert image.size == (400, 200)


def test_thumbnail_does_not_enlarge_an_image() -> None:
    with Image.open(io.BytesIO(thumbnail(Image.new("RGB", (8, 4)), 100))) as small:
        assert small.size == (8, 4)
