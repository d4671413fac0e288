"""Bugs that were reported to other programs that read images, each with a small drawn image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data.decode import decode, problem
from tests.data.files import file_of, png, png_chunk, tiff

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def decoded(content: bytes) -> np.ndarray[Any, Any]:
    assert problem(content) == ""
    return np.asarray(decode(content))


def test_decode_does_not_show_16_bit_grey_as_white() -> None:
    """pytorch/vision#2218, keras-team/keras-preprocessing#227, keras-team/keras#10437: all values clipped to 255."""
    for content in (png(GREY.astype(np.uint16) * 257), tiff(GREY.astype(np.uint16) * 257)):
        assert np.array_equal(decoded(content)[..., 0], GREY)


def test_decode_does_not_show_8_bits_in_16_bit_grey_as_black() -> None:
    """keras-team/keras#10437 (a comment): division by 256 makes an image with small values black."""
    assert np.array_equal(decoded(png(GREY.astype(np.uint16)))[..., 0], GREY)


def test_decode_does_not_show_12_bits_in_16_bit_colour_as_black() -> None:
    """python-pillow/Pillow#7723, keras-team/keras#8497: the lower byte of each value is dropped."""
    colour = np.stack([GREY] * 3, axis=2)
    assert np.abs(decoded(png(colour.astype(np.uint16) * 16)).astype(int) - colour).max() <= 1


def test_decode_reads_a_png_with_a_long_chunk() -> None:
    """python-pillow/Pillow#8363, #2445: "Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"."""
    assert np.array_equal(decoded(file_of(GREY, icc_profile=bytes(3_000_000)))[..., 0], GREY)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Possibly corrupt EXIF", "ignore:Metadata Warning")
def test_decode_reads_an_image_with_damaged_exif() -> None:
    """python-pillow/Pillow#4215, facebookresearch/detectron2#361: exif_transpose raises, and stops the training."""
    sound = Image.Exif()
    sound[0x0112] = 6
    block = sound.tobytes()
    for damaged in (
        block[:14],
        block.replace(b"\x12\x01\x03\x00\x01", b"\x12\x01\x02\x00\x09"),
        b"Exif\0\0\xff\xfe" * 3,
    ):
        assert decoded(file_of(GREY, "JPEG", quality=100, exif=damaged)).shape == (8, 8, 3)
    assert decoded(file_of(GREY)[:33] + png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff") + file_of(GREY)[33:]).any()


def test_decode_rotates_photographs_of_a_phone() -> None:
    """fastai/fastai#3565: some photographs of a phone are rotated by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        assert np.array_equal(decoded(file_of(GREY, kind, exif=exif, **options))[..., 0], np.rot90(GREY, -1))


def test_decode_does_not_show_transparent_pixels_as_black() -> None:
    """NVIDIA/DIGITS#85, kohya-ss/sd-scripts#1269: the hidden colours of transparent pixels appear."""
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    assert decoded(file_of(image)).min() == 255
    assert decoded(file_of(image, "WEBP", lossless=True)).min() == 255
    grey = Image.new("LA", (2, 1), (0, 0))
    assert decoded(file_of(grey)).min() == decoded(file_of(grey, "TIFF")).min() == 255


def test_decode_gives_no_warning_for_a_palette_with_transparency() -> None:
    """imageio/imageio#475, layumi/University1652-Baseline#17: "Palette images with Transparency expressed in bytes"."""
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 255, 0])
    for place in range(3):
        image.putpixel((place, 0), place)
    expected = [[[255, 255, 255], [127, 127, 255], [0, 255, 0]]]
    assert decoded(file_of(image, transparency=bytes((0, 128, 255)))).tolist() == expected


def test_decode_shows_a_fax_as_black_on_white() -> None:
    """python-pillow/Pillow#4804, image-rs/image-tiff#296: WhiteIsZero, of 1 bit and of more, comes out inverted."""
    page = np.ones((16, 16), np.uint8)
    page[2, 3] = 0
    one_bit = Image.fromarray(page * 255).convert("1")
    white_is_zero = tiff(1 - page, bits=1, photometric=0)
    for content in (file_of(one_bit, "TIFF"), file_of(one_bit, "TIFF", compression="group4"), white_is_zero):
        assert np.array_equal(decoded(content)[..., 0], page * 255)
    assert np.array_equal(decoded(tiff(GREY, photometric=0))[..., 0], 255 - GREY)
    assert np.array_equal(decoded(tiff(GREY.astype(np.uint16), photometric=0))[..., 0], 255 - GREY)


def test_decode_does_not_invert_cmyk() -> None:
    """python-pillow/Pillow#6563, lovell/sharp#1649: inverted ink, as Photoshop writes it, and normal ink."""
    paint = Image.new("RGB", (16, 16), (220, 40, 30))
    for kind, options in (("JPEG", {"quality": 95}), ("TIFF", {})):
        assert np.abs(decoded(file_of(paint.convert("CMYK"), kind, **options)).astype(int) - [220, 40, 30]).max() <= 4


def test_decode_reads_the_first_of_two_lenses() -> None:
    """An MPO file named .jpg, as phones and 3D cameras write it."""
    left, right = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    buffer = io.BytesIO()
    left.save(buffer, "MPO", save_all=True, append_images=[right])
    assert np.abs(decoded(buffer.getvalue()).astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_decode_reads_the_first_frame_of_each_kind_of_animation(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), (value,) * 3) for value in (10, 200)]
    content = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(decoded(content).astype(int) - 10).max() <= 2


def test_decode_accepts_a_large_image() -> None:
    """facebookresearch/detectron2#1221, open-edge-platform/geti_v2#1486: a warning, or the end of a training."""
    limit = Image.MAX_IMAGE_PIXELS
    image = decode(file_of(Image.new("1", (10_000, 9_000), 1)))
    assert image.size == (5_000, 4_500)
    assert image.getpixel((9, 9)) == (255, 255, 255)
    assert limit == Image.MAX_IMAGE_PIXELS
