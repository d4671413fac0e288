from __future__ import annotations

import importlib.util
import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from harness.data.decode import decode, problem, read, to_image
from harness.data.formats import pillow_formats
from harness.util.packages import install_command


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray[Any, Any]:
    result = decode(file_of(image, kind, **options))
    assert result.mode == "RGB"
    return np.asarray(result)


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_decode_converts_grey_to_three_equal_channels() -> None:
    assert np.array_equal(decoded(Image.fromarray(GREY)), np.stack([GREY] * 3, axis=2))


def test_decode_converts_a_palette_to_its_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert decoded(image).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_decode_puts_transparent_pixels_on_white() -> None:
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


def test_decode_converts_cmyk_to_rgb() -> None:
    image = Image.new("RGB", (16, 16), (220, 40, 30)).convert("CMYK")
    assert np.abs(decoded(image, "JPEG", quality=95).astype(int) - [220, 40, 30]).max() <= 4


def test_decode_keeps_the_brightness_of_16_bits() -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    assert decoded(Image.fromarray(values))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert decoded(Image.fromarray(values), "TIFF")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_decode_scales_floats_from_0_to_1() -> None:
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert decoded(image, "TIFF")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("orientation", "first"), [(1, 0), (3, 63 * 4), (6, 56 * 4), (8, 7 * 4)])
def test_decode_applies_the_exif_rotation(orientation: int, first: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decoded(Image.fromarray(GREY), exif=exif)[0, 0, 0] == first


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_decode_ignores_a_damaged_exif_block() -> None:
    assert decoded(Image.fromarray(GREY), "JPEG", quality=100, exif=b"Exif\x00\x00MM\x00*garbage").shape == (8, 8, 3)


def test_decode_reads_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(content)).max() == 10


def grey16(values: list[int], kind: str = "PNG", dtype: Any = np.uint16) -> bytes:
    return file_of(Image.fromarray(np.array([values], dtype)), kind)


@pytest.mark.parametrize(
    ("content", "value_range"),
    [
        (grey16([0, 1024, 4080]), (0, 4080)),  # 12 bits in 16
        (grey16([0, 64, 255], "TIFF"), (0, 255)),  # 8 in 16
        (grey16([0, 64, 255], "TIFF", np.int32), (0, 255)),  # 8 in 32
        (grey16([0, 1024, 4080], "TIFF", np.float32), (0, 4080)),
        (grey16([-1000, -2, 2976], "TIFF", np.int32), (-1000, 2976)),
    ],
)
def test_to_image_scales_more_than_8_bits_by_the_range_of_the_data_set(
    content: bytes, value_range: tuple[float, float]
) -> None:
    raw = read(content)
    assert raw.image is None
    low, high = value_range
    assert raw.values is not None
    expected = np.floor((raw.values.astype(float) - low) / (high - low) * 255 + 0.5)
    picture = np.asarray(to_image(raw, value_range))
    assert np.array_equal(picture, np.stack([expected] * 3, axis=2))
    assert (picture[0, 0, 0], picture[0, 2, 0]) == (0, 255)
    assert np.array_equal(np.asarray(to_image(raw, value_range, channels=1)), expected)
    clipped = np.asarray(to_image(raw, (low, (low + high) / 2)))
    assert clipped[0, 2, 0] == 255
    with pytest.raises(ValueError, match="need a range"):
        to_image(raw, None)


def colour16(values: Any, kind: int = 2) -> bytes:
    """A PNG of 16 bits with several channels, which Pillow cannot write: `kind` 2 is RGB, 6 RGBA, 4 grey and alpha."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0), b"IDAT": zlib.compress(rows)}
    chunks = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + struct.pack(">I", 0) + b"IEND\xaeB`\x82"


def test_read_keeps_12_bits_of_a_colour_png() -> None:
    """Pillow keeps only the high byte, so the whole image would be black. torchvision reads all bits."""
    values = np.array([[[0, 1024, 4095], [4095, 2048, 16]]], np.uint16)
    raw = read(colour16(values))
    assert np.array_equal(raw.values, values)  # type: ignore[arg-type]
    assert np.asarray(to_image(raw, (0, 4095))).tolist() == [[[0, 64, 255], [255, 128, 1]]]


def test_to_image_puts_transparent_16_bit_pixels_on_the_background() -> None:
    values = np.array([[[4095, 0, 0, 65535], [4095, 0, 0, 0]]], np.uint16)
    raw = read(colour16(values, kind=6))
    assert raw.colours.shape == (1, 2, 3)
    assert np.asarray(to_image(raw, (0, 4095), background="#0000ff")).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    grey = read(colour16(np.array([[[255, 65535], [0, 0]]], np.uint16), kind=4))
    assert np.asarray(to_image(grey, (0, 255)))[0, :, 0].tolist() == [255, 255]


def test_read_needs_tifffile_for_a_16_bit_colour_tiff() -> None:
    entries = [(256, 4, 2), (257, 4, 1), (258, 3, 8 + 2 + 9 * 12 + 4), (259, 3, 1), (262, 3, 2), (273, 4, 130)]
    entries += [(277, 3, 3), (278, 4, 1), (279, 4, 12)]
    header = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    body = b"".join(struct.pack("<HHII", tag, kind, 3 if tag == 258 else 1, value) for tag, kind, value in entries)
    bits = struct.pack("<I3H", 0, 16, 16, 16)
    values = np.array([[[0, 1024, 4095], [4095, 2048, 16]]], "<u2")
    content = (header + body + bits).ljust(130, b"\0") + values.tobytes()
    why = problem(content, read)
    if importlib.util.find_spec("tifffile") is None:
        assert why == f"16-bit colour TIFF needs tifffile: {install_command('tiff')}"
    else:
        assert np.array_equal(read(content).values, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("maximum", "declared"), [(4095, 65535.0), (1023, 65535.0), (65535, None)])
def test_read_takes_the_range_from_the_header_of_a_pgm(maximum: int, declared: float | None) -> None:
    values = np.array([[0, maximum // 2 + 1, maximum]], ">u2")
    raw = read(f"P5 3 1 {maximum}\n".encode() + values.tobytes())
    assert raw.declared == declared
    assert np.asarray(to_image(raw, (0, 65535)))[0, :, 0].tolist() == [0, 128, 255]


def test_to_image_has_the_channels_and_the_background() -> None:
    image = Image.new("RGBA", (2, 1))
    image.putdata([(200, 100, 0, 255), (200, 100, 0, 0)])
    raw = read(file_of(image))
    assert np.asarray(to_image(raw, None, channels=1)).tolist() == [[118, 255]]
    assert np.asarray(to_image(raw, None, background="black")).tolist() == [[[200, 100, 0], [0, 0, 0]]]


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "JPEG2000", "TGA", "BMP", "PCX", "ICO", "DDS", "QOI", "SGI", "PPM"])
def test_decode_reads_other_formats(kind: str) -> None:
    if kind not in pillow_formats() or kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    colours = Image.fromarray(np.repeat(np.repeat(GREY[:, :, None], 4, 0), 4, 1).repeat(3, 2))
    assert decoded(colours, kind).shape == (32, 32, 3)
    assert np.abs(decoded(colours, kind).astype(int) - np.asarray(colours)).mean() < 4


def test_decode_reads_a_png_with_a_large_profile_or_comment() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 3_000_000, zip=True)
    content = file_of(Image.fromarray(GREY), pnginfo=info, icc_profile=bytes(2_000_000))
    assert problem(content) == ""
    assert np.asarray(decode(content))[1, 0, 0] == 32


def test_decode_reads_the_first_image_of_an_mpo() -> None:
    frames = [Image.fromarray(GREY), Image.new("L", (8, 8))]
    content = file_of(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=100)
    assert np.abs(np.asarray(decode(content))[:, :, 0].astype(int) - GREY).max() <= 2


def test_decode_never_opens_an_eps(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", run)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    assert problem(eps) == "an EPS"


def png_header(width: int, height: int) -> bytes:
    content = bytearray(file_of(Image.new("L", (1, 1))))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


@pytest.mark.parametrize("size", [(30_000, 20_400), (60_000, 60_000)])
def test_read_refuses_too_many_pixels_by_the_header(size: tuple[int, int]) -> None:
    most = Image.MAX_IMAGE_PIXELS
    assert problem(png_header(*size)) == f"{size[0] * size[1] / 1e6:.0f} megapixels; at most 500 are read"
    assert most == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_read_reduces_an_image_above_the_limit_of_pillow(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors in tests, also Pillow's warning of a decompression bomb."""
    monkeypatch.setattr("harness.data.large.LARGE", 200 * 100 - 1)
    monkeypatch.setattr("harness.data.large.SIDE", 25)
    monkeypatch.setattr("harness.data.decode.SIDE", 25)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 100 - 1)
    wide = Image.fromarray(np.linspace(0, 255, 200).astype(np.uint8)[None].repeat(100, 0))
    result = np.asarray(decode(file_of(wide, kind)))
    assert 25 <= result.shape[0] < 100
    assert (result[5, 0, 0] < 10, result[5, -1, 0] > 245) == (True, True)
    assert Image.MAX_IMAGE_PIXELS == 200 * 100 - 1


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "y")
    return buffer.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "an HTML page"),
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page"),
        (b"%PDF-1.4 ...", "a PDF"),
        (zipped(), "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer: git lfs pull"),
        (b"just words", "a text file"),
        (b'{"error": "not found"}', "a JSON text"),
        (bytes(500), "only zero bytes"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40), "an MP4 video"),
        (b"\x93NUMPY\1\0v\0{}", "a NumPy array"),
        (bytes(128) + b"DICM" + bytes(40), "a DICOM"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera raw file (CR2)"),
        (b"\0\5\x16\7" + bytes(78), "a macOS AppleDouble file, without the picture"),
        (file_of(Image.fromarray(GREY).resize((200, 200)), "JPEG")[:900], "truncated"),
        (file_of(Image.fromarray(GREY)), ""),
    ],
)
def test_problem_names_the_reason(content: bytes, why: str) -> None:
    assert problem(content) == why


def test_problem_names_the_package_for_heic() -> None:
    if importlib.util.find_spec("pillow_heif") is None:
        assert problem(HEIC) == f"HEIC needs pillow-heif: {install_command('heic')}"
    else:
        assert problem(HEIC).startswith(("damaged", "a HEIF"))


@pytest.mark.parametrize(("side", "size"), [(0, (64, 32)), (32, (64, 32)), (16, (32, 16)), (9, (32, 16)), (4, (8, 4))])
def test_read_decodes_a_jpeg_at_a_fraction_of_its_size(side: int, size: tuple[int, int]) -> None:
    picture = Image.linear_gradient("L").resize((64, 32))
    for kind in ("JPEG", "MPO"):
        raw = read(file_of(picture, kind, quality=95), side)
        assert raw.image is not None
        assert raw.image.size == size
        shrunk = np.asarray(picture.reduce(64 // size[0]), int)
        assert np.abs(np.asarray(raw.image, int) - shrunk).max() <= 3
    png_image = read(file_of(picture), side).image
    assert png_image is not None
    assert png_image.size == (64, 32)


def test_read_at_a_fraction_keeps_the_rotation_and_finds_damage() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file_of(Image.linear_gradient("L").resize((640, 320)), "JPEG", exif=exif)
    raw = read(content, 40)
    assert raw.image is not None
    assert raw.image.size == (40, 80)
    assert problem(content[:-100], lambda content: read(content, 40)) == "truncated"
