from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data import deep
from harness.data.decode import Raw, decode, read, to_image
from harness.data.depth import Depth, infer_range
from harness.errors import DataError
from tests.data.files import Array, file_of, png, png_chunk, tiff

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)  # every value of 8 bits once
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=2)


def values_of(content: bytes) -> Array:
    values = read(content).values
    assert values is not None
    return values


def decoded(content: bytes, **options: Any) -> Array:
    return np.asarray(decode(content, **options))


def close(image: Array, expected: Array) -> bool:
    """Equal up to rounding: 255 / 4095 is not 1 / 16."""
    return int(np.abs(image.astype(int) - expected.astype(int)).max()) <= 1


@pytest.mark.parametrize(
    ("content", "high"),
    [
        (png(GREY.astype(np.uint16) * 16), 4095),
        (tiff(GREY.astype(np.uint16)), 255),
        (tiff(GREY.astype(np.int32)), 255),
        (tiff(GREY.astype(np.float32) * 16), 4095),
        (tiff(GREY.astype(np.float32) / 255), 1),
        (png(GREY.astype(np.uint16) * 257), 65535),
        (tiff(GREY.astype(np.uint16) * 257), 65535),
        (b"P5 16 16 65535\n" + (GREY * np.uint16(16)).astype(">u2").tobytes(), 4095),
        (file_of(GREY.astype(np.uint16) * 16, "JPEG2000"), 4095),
        (b"Pf\n16 16\n-1.0\n" + (GREY[::-1].astype("<f4") / 255).tobytes(), 1),
    ],
)
def test_decode_scales_grey_from_its_range(content: bytes, high: float) -> None:
    raw = read(content)
    assert raw.image is None
    assert raw.declared is None
    assert infer_range(Depth.of(raw.colours)) == (0, high)
    assert close(decoded(content)[..., 0], GREY)
    if high not in (4095,):
        assert np.array_equal(decoded(content), np.stack([GREY] * 3, axis=2))


def test_to_eight_bits_differs_from_the_high_byte_by_at_most_one() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = decoded(png(every))[..., 0].astype(int)
    assert np.array_equal(image, np.floor(every / 257 + 0.5))
    assert np.abs(image - every // 256).max() == 1


@pytest.mark.parametrize(
    ("content", "declared", "expected"),
    [
        (b"P5 4 1 4095\n" + np.array([0, 16, 2048, 4095], ">u2").tobytes(), 65535, [0, 1, 128, 255]),
        (b"P2\n# bits: 12\n4 1 4095\n0 16 2048 4095\n", 65535, [0, 1, 128, 255]),
        (tiff(np.array([[0, 16, 2048, 4095]], np.uint16), bits=12), 4095, [0, 1, 128, 255]),
    ],
)
def test_to_image_uses_a_declared_largest_value(content: bytes, declared: float, expected: list[int]) -> None:
    raw = read(content)
    assert raw.declared == declared
    for value_range in (None, (0, 100)):  # the range of the data set is ignored
        assert np.asarray(to_image(raw, value_range))[0, :, 0].tolist() == expected


def test_read_takes_the_scaled_colours_of_a_ppm() -> None:
    content = b"P6 1 1 4095\n" + np.array([0, 2048, 4095], ">u2").tobytes()
    assert read(content).values is None
    assert decoded(content).tolist() == [[[0, 128, 255]]]


def test_jpeg2000_bits_reads_the_declared_bits() -> None:
    codec = pytest.importorskip("imagecodecs")
    twelve = codec.jpeg2k_encode(GREY.astype(np.uint16) * 16, level=0, bitspersample=12, reversible=True)
    assert read(twelve).declared == 65535
    assert close(decoded(twelve)[..., 0], GREY)
    sixteen = codec.jpeg2k_encode(COLOUR.astype(np.uint16) * 16, level=0, bitspersample=16, reversible=True)
    assert np.array_equal(values_of(sixteen), COLOUR.astype(int) * 16)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_read_keeps_all_bits_of_a_16_bit_colour_png(channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (23, 17, channels)).astype(np.uint16)
    assert np.array_equal(values_of(png(values)), values)
    assert np.array_equal(values_of(png(values, png_chunk(b"eXIf", exif(6)))), np.rot90(values, -1))


def test_decode_scales_a_12_bit_colour_png() -> None:
    assert close(decoded(png(COLOUR.astype(np.uint16) * 16)), COLOUR)


def test_to_image_puts_16_bit_transparency_on_the_background() -> None:
    colours = np.array([[[65535, 0, 0, 65535], [65535, 0, 0, 0], [0, 0, 0, 13107]]], np.uint16)
    assert decoded(png(colours)).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]
    assert decoded(png(colours), background="black").tolist() == [[[255, 0, 0], [0, 0, 0], [0, 0, 0]]]
    grey = np.array([[[4095, 4095], [4095, 0], [0, 4095]]], np.uint16)  # 12 bits in 16, alpha too
    assert decoded(png(grey), background="#00ff00").tolist() == [[[255, 255, 255], [0, 255, 0], [0, 0, 0]]]
    keyed = png(np.array([[0, 65535, 77]], np.uint16), png_chunk(b"tRNS", b"\0\0"))
    assert decoded(keyed)[0, :, 0].tolist() == [255, 255, 0]


def test_infer_range_ignores_alpha() -> None:
    values = np.dstack([GREY.astype(np.uint16) * 16, np.full((16, 16), 65535, np.uint16)])
    raw = read(png(values))
    assert Depth.of(raw.colours).maximum == 4080
    assert close(decoded(png(values))[..., 0], GREY)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_read_of_signed_values_needs_a_range(dtype: type) -> None:
    hounsfield = tiff((GREY.astype(dtype) - 100) * 10)
    with pytest.raises(DataError, match="cannot be inferred"):
        decode(hounsfield)
    assert np.array_equal(decoded(hounsfield, value_range=(-1000, 1550))[..., 0], GREY)
    assert decoded(hounsfield, value_range=(0, 100))[..., 0].max() == 255


def test_read_does_not_take_unsigned_32_bits_as_signed() -> None:
    assert values_of(tiff(np.array([[0, 2**31, 2**32 - 1]], np.uint32))).tolist() == [[0, 2**31, 2**32 - 1]]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_read_inverts_if_white_is_zero(dtype: type) -> None:
    content = tiff(GREY.astype(dtype), photometric=0)
    assert np.array_equal(decoded(content)[..., 0], 255 - GREY)


def test_to_eight_bits_shows_nan_as_black_and_clips_infinity() -> None:
    values = np.array([[0, np.nan, np.inf, -np.inf, 1, 0.5]], np.float32)
    assert decoded(tiff(values), value_range=(0, 1))[0, :, 0].tolist() == [0, 0, 255, 0, 255, 128]


@pytest.mark.parametrize("photometric", [2, 1])  # GDAL writes RGB of 16 bits as three greys
def test_read_of_a_16_bit_colour_tiff(photometric: int) -> None:
    pytest.importorskip("tifffile")
    assert np.array_equal(values_of(tiff(COLOUR.astype(np.uint16) * 16, photometric=photometric)), COLOUR * 16.0)
    turned = tiff(COLOUR.astype(np.uint16) * 16, tag274=6)
    assert np.array_equal(values_of(turned), np.rot90(COLOUR, -1) * 16.0)


def test_read_of_a_tiff_that_pillow_cannot_read() -> None:
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    for content in (tiff(GREY.astype(np.float64)), tiff(GREY.astype(np.uint16), bits=10), tiff(GREY.astype(np.uint64))):
        assert np.array_equal(values_of(content), GREY)
    assert read(tiff(GREY.astype(np.uint16), bits=10)).declared == 1023
    assert read(tiff(np.array([[-1, 5]], np.int8))).colours.tolist() == [[-1, 5]]
    with_alpha = np.array([[[0, 65535], [30000, 32768]]], np.uint16)
    assert values_of(tiff(with_alpha)).tolist() == with_alpha.tolist()
    assert values_of(tiff(with_alpha, extra=1))[0, 1, 0] == pytest.approx(60000, abs=2)  # multiplied by alpha
    assert values_of(tiff(with_alpha, extra=0)).tolist() == [[0, 30000]]
    ink = np.array([[[0, 65535, 65535, 0], [0, 0, 0, 65535]]], np.uint16)
    assert decoded(tiff(ink, photometric=5)).tolist() == [[[255, 0, 0], [0, 0, 0]]]
    with pytest.raises(OSError, match="16-bit TIFF of 5 channels"):
        read(tiff(np.zeros((2, 2, 5), np.uint16), photometric=1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_applies_each_orientation(orientation: int) -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 1000
    eight_bits = np.asarray(decode(file_of((values // 100).astype(np.uint8), exif=exif(orientation))))[..., 0]
    assert np.array_equal(values_of(png(values, png_chunk(b"eXIf", exif(orientation)))), eight_bits.astype(int) * 100)
    assert np.array_equal(values_of(tiff(values, tag274=orientation)), eight_bits.astype(int) * 100)


def test_to_image_needs_a_range() -> None:
    raw = read(png(GREY.astype(np.uint16)))
    for value_range in (None, (5, 5), (9, 1)):
        with pytest.raises(ValueError, match="need a range"):
            to_image(raw, value_range)
    with pytest.raises(ValueError, match="8-bit"):
        _ = Raw(image=Image.new("L", (1, 1))).colours


def test_to_eight_bits_works_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = deep.to_eight_bits(COLOUR.astype(np.uint16), 0, 255)
    monkeypatch.setattr(deep, "STRIP", 3)
    assert deep.to_eight_bits(COLOUR.astype(np.uint16), 0, 255) == whole
    assert np.array_equal(deep.reduced(np.kron(GREY, np.ones((2, 2), np.uint16)), 2), GREY)


def exif(orientation: int) -> bytes:
    """EXIF with an orientation, without the first six bytes that it has in a JPEG."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes().removeprefix(b"Exif\0\0")
