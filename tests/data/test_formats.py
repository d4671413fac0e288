from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from harness.data.decode import decode, problem
from harness.data.formats import READABLE, SUFFIXES, UnreadableError, file_format, pillow_formats
from harness.data.opening import _can_read_heif
from harness.errors import DataError
from harness.util.packages import install_command
from tests.data.files import file_of, png, tiff

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def ftyp(*brands: bytes) -> bytes:
    content = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", len(content) + 4) + content + bytes(40)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (file_of(GREY), ""),
        (file_of(Image.fromarray(GREY).resize((200, 200)), "JPEG")[:900], "truncated"),
        (png(np.stack([GREY] * 3, axis=2))[:60], "truncated"),
        (tiff(GREY.astype(np.uint16))[:-9], "truncated"),
        (b"\xff\xd8\xff\xe0", "damaged, or an unusual JPEG: its header is incomplete"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf\r\n<html lang=en>404</html>", "an HTML page"),
        (b"<?xml version='1.0'?><svg xmlns='x'>", "an SVG picture"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>", "an XML text"),
        (b'{"message": "Not Found"}', "a JSON text"),
        ("Größe;Höhe\n1;2\n".encode(), "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer: git lfs pull"),
        (b"/annex/objects/MD5-s1--0\n", "a git-annex pointer: git annex get"),
        (b"%PDF-1.7\n", "a PDF"),
        (EPS, "an EPS"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
        (ftyp(b"isom", b"avc1"), "an MP4 video"),
        (ftyp(b"qt  "), "a QuickTime video"),
        (ftyp(b"crx ", b"isom"), "a camera raw file (CR3)"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(60), "a camera raw file (CR2)"),
        (b"FUJIFILMCCD-RAW 0201", "a camera raw file (RAF)"),
        (tiff(GREY, tag50706=1), "a camera raw file (DNG, NEF, ARW or similar)"),
        (tiff(GREY, tag254=1, tag330=8), "a camera raw file (DNG, NEF, ARW or similar)"),
        (tiff(GREY, photometric=32803), "a camera raw file (DNG, NEF, ARW or similar)"),
        (b"\x93NUMPY\x01\0v\0", "a NumPy array"),
        (bytes(128) + b"DICM" + bytes(60), "a DICOM"),
        (b"8BPS\0\x01", "a Photoshop file"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL picture"),
        (b"\0\x05\x16\x07" + bytes(78), "a macOS AppleDouble file, without the picture"),
        (bytes(5000), "only zero bytes"),
        (bytes(range(140, 240)), "not an image"),
        (file_of(GREY, "SGI")[:3] + b"\x02" + file_of(GREY, "SGI")[4:], "16-bit SGI; save it as PNG"),
    ],
)
def test_problem_names_the_reason(content: bytes, why: str) -> None:
    assert problem(content) == why


def test_problem_names_the_package_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pillow_heif", "tifffile", "imagecodecs"):
        monkeypatch.setitem(sys.modules, package, None)
    _can_read_heif.cache_clear()
    assert problem(ftyp(b"heic", b"mif1")) == f"HEIC needs pillow-heif: {install_command('heic')}"
    _can_read_heif.cache_clear()
    colour = np.stack([GREY.astype(np.uint16) * 16] * 3, axis=2)
    assert problem(tiff(colour)) == f"16-bit colour TIFF needs tifffile: {install_command('tiff')}"
    assert problem(tiff(GREY.astype(np.float64))) == f"64-bit float TIFF needs tifffile: {install_command('tiff')}"
    assert problem(tiff(GREY.astype(np.int8))) == f"8-bit signed TIFF needs tifffile: {install_command('tiff')}"
    monkeypatch.setitem(Image.OPEN, "AVIF", Image.OPEN["PNG"])
    pillow_formats.cache_clear()
    monkeypatch.delitem(Image.OPEN, "AVIF")
    assert problem(ftyp(b"avif", b"mif1")) == "AVIF needs a newer Pillow: pip install -U pillow"
    pillow_formats.cache_clear()


def test_problem_returns_the_reason_of_the_decoder() -> None:
    def fails(content: bytes) -> None:
        raise {b"d": DataError("what", "why", "fix"), b"m": MemoryError(), b"k": KeyError()}[content]

    reasons = [problem(content, fails) for content in (b"d", b"m", b"k")]
    assert reasons == ["what: why", "too large for the free memory", "damaged: KeyError"]


def test_decode_ignores_the_name_of_the_file() -> None:
    for kind in ("PNG", "WEBP", "BMP", "GIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert np.array_equal(np.asarray(decode(file_of(GREY, kind, **options)))[..., 0], GREY)


def test_decode_never_opens_eps(monkeypatch: pytest.MonkeyPatch) -> None:
    def ghostscript(*arguments: object, **options: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    for content in (EPS, b"\xc5\xd0\xd3\xc6" + bytes(26) + EPS, b" " + EPS):
        with pytest.raises(UnreadableError, match="cannot identify"):
            decode(content)


def test_pillow_formats_contain_no_format_that_starts_a_program() -> None:
    assert not {"EPS", "WMF", "EMF", "PDF", "MPEG", "HDF5", "GRIB", "BUFR"} & set(READABLE)
    assert {"JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"} <= set(pillow_formats()) <= set(READABLE)


def test_file_format_distinguishes_avif_from_heic() -> None:
    assert file_format(ftyp(b"avif", b"mif1")) == file_format(ftyp(b"mif1", b"avif")) == "AVIF"
    assert file_format(ftyp(b"heic", b"mif1")) == file_format(ftyp(b"mif1", b"heic")) == "HEIF"
    assert file_format(ftyp(b"isom")) == ""


def test_suffixes_contain_those_of_pillow_and_of_cameras() -> None:
    assert {".jpg", ".png", ".tif", ".webp", ".avif", ".heic"} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
    Image.init()
    own = {suffix for suffix, kind in Image.registered_extensions().items() if kind in READABLE}
    assert own <= SUFFIXES, own - SUFFIXES
    assert {".heic", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".dcm"} <= SUFFIXES
    assert not {".eps", ".ps", ".pdf", ".txt", ".json", ".xml", ".npy"} & SUFFIXES
    assert Path("A.JPG").suffix.lower() in SUFFIXES
