from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from harness.data.decode import decode
from harness.data.file_facts import FileFacts, facts_of, shortcut_facts
from tests.data.files import file_of, png, png_chunk, tiff

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
WIDE = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(4, 8, 3))  # 8 pixels wide, 4 high


def exif_of(**tags: Any) -> Image.Exif:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[getattr(ExifTags.Base, name)] = value
    return exif


def jpeg(**tags: Any) -> bytes:
    return file_of(WIDE, "JPEG", exif=exif_of(**tags))


def test_facts_of_a_photograph() -> None:
    exif = exif_of(Make="Canon", Model="Canon EOS 5D", Software="GIMP 2.10", Orientation=6)
    content = file_of(WIDE, "JPEG", quality=83, exif=exif, icc_profile=b"a profile")
    assert facts_of(content, "sea/IMG_1.JPG") == FileFacts(
        "JPEG", ".jpg", "RGB", 4, 8, "Canon EOS 5D", "GIMP 2.10", 83, has_exif=True, has_profile=True
    )


def test_facts_of_finds_the_jpeg_quality_that_pillow_wrote() -> None:
    for quality in range(1, 101):
        assert facts_of(file_of(WIDE, "JPEG", quality=quality)).quality == quality
    assert facts_of(file_of(WIDE, "PNG")).quality is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_facts_of_has_the_size_of_the_decoded_image(kind: str, orientation: int) -> None:
    """voxel51/fiftyone#2047, #3778, shibukawa/imagesize_py#61: width and height are swapped."""
    content = file_of(WIDE, kind, exif=exif_of(Orientation=orientation))
    facts = facts_of(content)
    assert (facts.width, facts.height) == decode(content).size


def test_facts_of_finds_exif_behind_the_pixels_of_a_png() -> None:
    """python-pillow/Pillow#4529, #3674: macOS rotates a PNG by EXIF that it writes at the end of the file."""
    plain = file_of(WIDE, "PNG")
    block = exif_of(Make="Apple", Model="iPhone 12", Orientation=8).tobytes().removeprefix(b"Exif\0\0")
    content = plain[:-12] + png_chunk(b"eXIf", block) + plain[-12:]
    facts = facts_of(content)
    assert (facts.width, facts.height) == decode(content).size == (4, 8)
    assert (facts.camera, facts.has_exif) == ("Apple iPhone 12", True)


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0\0\0\x11\0\0\x01\x04\0", b"This_is_not_valid_EXIF_data"])
def test_facts_of_a_file_with_empty_exif(block: bytes) -> None:
    """python-pillow/Pillow#6123, #4676, bigcat88/pillow_heif#45: getexif raises SyntaxError."""
    for kind in ("JPEG", "PNG", "WEBP"):
        facts = facts_of(file_of(WIDE, kind, exif=block))
        assert (facts.format, facts.mode, facts.width, facts.height, facts.camera) == (kind, "RGB", 8, 4, "")


def test_facts_of_reads_an_orientation_in_xmp() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    content = file_of(WIDE, "JPEG", xmp=xmp)
    assert (facts_of(content).width, facts_of(content).height) == decode(content).size


@pytest.mark.parametrize(
    ("content", "kind", "mode"),
    [
        (file_of(GREY), "PNG", "L"),
        (file_of(WIDE.convert("RGBA")), "PNG", "RGBA"),
        (file_of(WIDE.convert("LA")), "PNG", "LA"),
        (file_of(WIDE.convert("P")), "PNG", "P"),
        (file_of(WIDE.convert("1")), "PNG", "1"),
        (file_of(WIDE.convert("P"), "GIF"), "GIF", "P"),
        (file_of(WIDE.convert("CMYK"), "JPEG"), "JPEG", "CMYK"),
        (file_of(WIDE.convert("L"), "JPEG"), "JPEG", "L"),
        (file_of(WIDE, "BMP"), "BMP", "RGB"),
        (png(GREY.astype(np.uint16)), "PNG", "I;16"),
        (png(np.dstack([GREY.astype(np.uint16)] * 3)), "PNG", "RGB;16"),
        (png(np.dstack([GREY.astype(np.uint16)] * 2)), "PNG", "LA;16"),
        (png(np.dstack([GREY.astype(np.uint16)] * 4)), "PNG", "RGBA;16"),
        (tiff(GREY), "TIFF", "L"),
        (tiff(GREY.astype(np.uint16)), "TIFF", "I;16"),
        (tiff(GREY.astype(np.float32)), "TIFF", "L;32F"),
        (tiff(np.dstack([GREY.astype(np.uint16)] * 3)), "TIFF", "RGB;16"),
        (tiff(np.dstack([GREY.astype(np.float64)] * 3)), "TIFF", "RGB;64F"),
    ],
)
def test_facts_of_has_format_and_mode(content: bytes, kind: str, mode: str) -> None:
    facts = facts_of(content)
    assert (facts.format, facts.mode) == (kind, mode)
    assert (facts.width, facts.height) in ((8, 8), (8, 4))


def test_facts_of_finds_software_in_the_text_of_a_png() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "Adobe ImageReady")
    assert facts_of(file_of(WIDE, "PNG", pnginfo=text)).software == "Adobe ImageReady"


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("", "E-M5  ", "E-M5"),
        ("FUJIFILM\0\0junk", " X100\n", "FUJIFILM X100"),
        ("\0\0", "\0", ""),
        ("x" * 10_000, "y" * 10_000, "x" * 60 + " " + "y" * 60),
        ("Sony\x1b[31m", "\x07A7", "Sony[31m A7"),
    ],
)
def test_facts_of_cleans_the_name_of_the_camera(make: str, model: str, camera: str) -> None:
    assert facts_of(jpeg(Make=make, Model=model)).camera == camera


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Possibly corrupt EXIF", "ignore:Truncated File Read")
def test_facts_of_accepts_damaged_exif() -> None:
    block = exif_of(Make="Canon", Model="Canon EOS 5D", Orientation=6).tobytes()
    for end in range(len(b"Exif\0\0"), len(block)):
        facts = facts_of(file_of(WIDE, "JPEG", quality=75, exif=block[:end]))
        assert (facts.format, facts.mode, facts.quality, facts.has_exif) == ("JPEG", "RGB", 75, True)
        assert sorted((facts.width, facts.height)) == [4, 8]
    wrong_type = block.replace(b"\x0f\x01\x02\x00", b"\x0f\x01\x05\x00")  # Make as two numbers
    assert facts_of(file_of(WIDE, "JPEG", exif=wrong_type)).has_exif


def test_facts_of_never_raises_and_decodes_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        jpeg(Make="Canon", Orientation=6),
        file_of(WIDE, "PNG", exif=exif_of(Orientation=6)),
        file_of(WIDE.convert("P"), "GIF", save_all=True, append_images=[WIDE.convert("L")]),
        file_of(WIDE, "TIFF", exif=exif_of(Orientation=6)),
        file_of(WIDE, "WEBP"),
        tiff(GREY.astype(np.uint16)),
    ]
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    for content in files:
        facts = facts_of(content)
        assert facts.pixels in (32, 64)
        for end in range(0, len(content), 3):
            assert facts_of(content[:end]).format in (facts.format, "")
        for place in range(0, min(len(content), 400), 3):
            facts_of(content[:place] + b"\xff" + content[place + 1 :])


def test_facts_of_does_not_open_unsupported_formats() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    assert facts_of(postscript, "sea.jpg") == FileFacts(suffix=".jpg")
    assert facts_of(b"", "sea.png") == FileFacts(suffix=".png")
    assert facts_of(b"no image") == FileFacts()


def test_facts_of_has_the_size_of_a_truncated_file() -> None:
    content = file_of(Image.new("RGB", (640, 480)), "JPEG")
    facts = facts_of(content[: len(content) // 2])
    assert (facts.width, facts.height) == (640, 480)


def test_facts_of_has_the_size_of_an_image_that_is_too_large_to_decode() -> None:
    header = (60_000).to_bytes(4, "big") + (50_000).to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    assert facts_of(content).pixels == 3_000_000_000
    large = tiff(np.zeros((1, 1), np.uint8), tag256=30_000, tag257=20_000)
    assert facts_of(large).pixels == 600_000_000


def test_facts_of_says_whether_there_are_several_frames() -> None:
    frames = [Image.new("RGB", (8, 4), color) for color in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        assert not facts_of(file_of(frames[0], kind)).is_animated
        assert facts_of(file_of(frames[0], kind, save_all=True, append_images=frames[1:])).is_animated


def test_shortcut_facts_are_columns() -> None:
    facts = [facts_of(jpeg(Make="Canon", Model="5D"), "a.jpg"), facts_of(file_of(GREY), "b.png"), FileFacts()]
    columns = shortcut_facts(facts)
    assert {len(column) for column in columns.values()} == {3}
    assert columns["format"].tolist() == ["JPEG", "PNG", ""]
    assert columns["camera"].tolist() == ["Canon 5D", "", ""]
    assert columns["EXIF"].tolist() == ["yes", "no", "no"]
    assert columns["width"][:2].tolist() == [8, 8]
    assert columns["JPEG quality"].dtype == np.float64
    assert np.isnan(columns["JPEG quality"]).tolist() == [False, True, True]
    assert np.isnan(columns["width"]).tolist() == [False, False, True]
    assert {len(column) for column in shortcut_facts([]).values()} == {0}


def test_shortcut_facts_differ_for_classes_of_another_format_or_quality() -> None:
    """ZhendongWang6/DIRE#30, Ouxiang-Li/SAFE#7: the real images are JPEG, the false ones PNG or of another quality.

    The detector learned that, and was right on all images of its test set.
    """
    saved = [("JPEG", {"quality": 75}), ("JPEG", {"quality": 96}), ("PNG", {})]
    columns = shortcut_facts([facts_of(file_of(WIDE, kind, **options)) for kind, options in saved for _ in range(2)])
    assert columns["format"].tolist() == ["JPEG"] * 4 + ["PNG"] * 2
    assert columns["JPEG quality"][:4].tolist() == [75, 75, 96, 96]


def test_shortcut_facts_do_not_depend_on_the_content() -> None:
    """The files of a noisy and of a smooth image differ in bytes, but in no column."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    smooth = Image.new("RGB", (64, 64), "blue")
    columns = shortcut_facts([facts_of(file_of(image, "JPEG"), "a.jpg") for image in (noise, smooth)])
    assert all(column[0] == column[1] for column in columns.values())


def test_facts_of_real_photographs(scenes: Path) -> None:
    paths = sorted(scenes.rglob("*.jpg"))[:20]
    facts = {facts_of(path.read_bytes(), path.name) for path in paths}
    assert facts == {FileFacts("JPEG", ".jpg", "RGB", 100, 100, quality=95)}


def test_facts_of_a_photograph_in_heic() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 32))).save(buffer)
    facts = facts_of(buffer.getvalue(), "a.heic")
    assert (facts.format, facts.suffix, facts.mode, facts.width, facts.height) == ("HEIF", ".heic", "RGB", 64, 32)
