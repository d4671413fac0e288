from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.check import problem
from harness.data.decode import decode


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray[Any, Any]:
    result = decode(file_of(image, kind, **options))
    assert result.mode == "RGB"
    return np.asarray(result)


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_grey_becomes_three_equal_channels() -> None:
    assert np.array_equal(decoded(Image.fromarray(GREY)), np.stack([GREY] * 3, axis=2))


def test_a_palette_becomes_its_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert decoded(image).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_what_is_transparent_lies_on_white() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 100, 0, 255), (200, 100, 0, 0), (0, 0, 0, 51)])
    assert decoded(image).tolist() == [[[200, 100, 0], [255, 255, 255], [204, 204, 204]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert decoded(palette, transparency=1).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    grey = Image.new("LA", (2, 1))
    grey.putdata([(10, 255), (10, 0)])
    assert decoded(grey)[0, :, 0].tolist() == [10, 255]


def test_cmyk_comes_out_as_the_colour_that_was_printed() -> None:
    image = Image.new("RGB", (16, 16), (220, 40, 30)).convert("CMYK")
    assert np.abs(decoded(image, "JPEG", quality=95).astype(int) - [220, 40, 30]).max() <= 4


def test_sixteen_bits_keep_their_brightness() -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    assert decoded(Image.fromarray(values))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert decoded(Image.fromarray(values), "TIFF")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_floats_in_0_to_1_are_stretched() -> None:
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert decoded(image, "TIFF")[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize(("orientation", "first"), [(1, 0), (3, 63 * 4), (6, 56 * 4), (8, 7 * 4)])
def test_the_rotation_of_the_camera_is_applied(orientation: int, first: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decoded(Image.fromarray(GREY), exif=exif)[0, 0, 0] == first


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_matter() -> None:
    assert decoded(Image.fromarray(GREY), "JPEG", quality=100, exif=b"Exif\x00\x00MM\x00*garbage").shape == (8, 8, 3)


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(content)).max() == 10


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "not an image"),
        (file_of(Image.fromarray(GREY).resize((200, 200)), "JPEG")[:900], "truncated"),
        (file_of(Image.fromarray(GREY)), ""),
    ],
)
def test_why_a_file_cannot_be_decoded(content: bytes, why: str) -> None:
    assert problem(content) == why
