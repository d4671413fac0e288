from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from harness.data import decode as decode_module
from harness.data import large
from harness.data.decode import decode, problem, read
from tests.data.files import file_of, png, tiff

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
BLOCKS = np.kron(GREY, np.ones((4, 4), np.uint8))  # (32, 32)


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sets the limits: an image is large above 100 pixels, and its shorter side is reduced to 8."""
    for module in (large, decode_module):
        monkeypatch.setattr(module, "LARGE", 100)
        monkeypatch.setattr(module, "SIDE", 8)
    yield
    assert Image.MAX_IMAGE_PIXELS == large.LARGE


@pytest.fixture(autouse=True)
def pillow_limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "low_limits" in request.fixturenames:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)


def test_read_refuses_more_than_500_megapixels_by_its_header() -> None:
    assert problem(png(GREY, size=(30_000, 20_400))) == "612 megapixels; at most 500 are read"
    wide = tiff(GREY.astype(np.uint16), tag256=30_000, tag257=20_400)
    assert problem(wide) == "612 megapixels; at most 500 are read"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_read_reduces_a_large_image(low_limits: None, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(np.asarray(decode(file_of(BLOCKS, kind, **options)))[..., 0], GREY)


def test_read_reduces_a_large_jpeg_while_it_is_decoded(low_limits: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    image = np.asarray(decode(file_of(BLOCKS, "JPEG", quality=95, exif=exif)))[..., 0].astype(int)
    assert image.shape == (8, 8)
    assert np.abs(image - GREY[::-1, ::-1]).max() < 8


def test_read_keeps_transparency_palette_and_rotation_of_a_large_image(low_limits: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file_of(BLOCKS, exif=exif)
    assert np.array_equal(np.asarray(decode(content))[..., 0], np.rot90(GREY, -1))
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert decode(file_of(palette)).getcolors() == [(64, (0, 0, 255))]
    assert decode(file_of(palette, transparency=1)).getcolors() == [(64, (255, 255, 255))]
    assert decode(file_of(Image.new("1", (16, 16), 1))).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_read_reduces_large_values(low_limits: None, dtype: type) -> None:
    values = read(tiff(BLOCKS.astype(dtype) * 16)).values
    assert values is not None
    assert values.dtype == dtype
    assert np.array_equal(values, GREY.astype(dtype) * 16)
    colour = read(png(np.stack([BLOCKS.astype(np.uint16) * 16] * 3, axis=2))).values
    assert colour is not None
    assert np.array_equal(colour[..., 1], GREY.astype(int) * 16)


def test_read_ignores_a_lower_limit_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [file_of(BLOCKS, kind) for kind in ("PNG", "TIFF", "WEBP", "JPEG", "GIF", "ICO", "ICNS")]
    before = [decode(content).tobytes() for content in contents]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert [decode(content).tobytes() for content in contents] == before
    assert Image.MAX_IMAGE_PIXELS == 10


def test_read_decodes_one_large_image_at_a_time(low_limits: None) -> None:
    done = threading.Event()

    def decode_large() -> None:
        decode(file_of(BLOCKS))
        done.set()

    thread = threading.Thread(target=decode_large)
    with large.room_for(32, 32):
        thread.start()
        assert not done.wait(0.2)
        assert decode(file_of(GREY)).size == (8, 8)  # small images do not wait
    thread.join()
    assert done.is_set()


def test_reduction_keeps_the_shorter_side_and_bounds_the_pixels() -> None:
    assert large.reduction(9000, 9000) == 1
    assert large.reduction(12_000, 10_000) == 2
    assert large.reduction(22_000, 22_000) == 5
    assert large.reduction(400_000, 1_000) == 3  # a panorama: 59 megapixels are left


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_read_accepts_twice_the_limit_of_pillow(kind: str) -> None:
    image = Image.new("L", (14_000, 13_000), 77)  # 182 megapixels: more than twice Pillow's limit
    limit = Image.MAX_IMAGE_PIXELS
    decoded = decode(file_of(image, kind))
    assert decoded.width * decoded.height <= large.LARGE
    assert abs(decoded.getpixel((99, 99))[0] - 77) <= 2
    assert limit == Image.MAX_IMAGE_PIXELS
