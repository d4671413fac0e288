"""Reads facts about an image file without decoding pixels: format, mode, size, camera, JPEG quality."""

from __future__ import annotations

import bisect
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from harness.data import deep
from harness.data.formats import file_format, tiff_tags, unreadable_kind
from harness.data.large import LARGE, room_for
from harness.data.opening import opened

LONGEST = 60  # characters of the name of a camera or a program; a damaged file may have thousands
ANIMATED = (
    "AVIF",
    "GIF",
    "PNG",
    "WEBP",
)  # formats that can be animated; in JPEG and TIFF, frames are pages or previews
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
# The luminance table of quality 50, ITU-T T.81 (1992), table K.1; libjpeg scales it for all other qualities
LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def _sum_of_table(quality: int) -> int:
    """The sum of libjpeg's luminance table of a quality from 1 to 100 (`jpeg_quality_scaling` in jcparam.c)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((value * scale + 50) // 100, 1), 255) for value in LUMINANCE)


SUMS = [-_sum_of_table(quality) for quality in range(1, 101)]  # negative, so that they are in ascending order


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts about an image file.

    Attributes:
        format: The name of the format in Pillow: JPEG, MPO, PNG; "" if it is unknown.
        suffix: The end of the file's name, in lower case: ".jpg".
        mode: Pillow's mode: RGB, L, P, CMYK; with the bits if they are more than 8: "RGB;16". "" if it is unknown.
        width: Pixels, after the camera's rotation (EXIF); 0 if unknown.
        height: Pixels, after the camera's rotation (EXIF); 0 if unknown.
        camera: Make and model; "" if the file names none.
        software: The program that wrote the file; "" if the file names none.
        quality: JPEG quality from 1 to 100, estimated from the file's quantisation table; None for other formats.
        has_exif: Whether the file has EXIF metadata, damaged or not.
        has_profile: Whether the file has an ICC colour profile.
        is_animated: Whether a GIF, PNG, WebP or AVIF has more than one frame.
    """

    format: str = ""
    suffix: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    camera: str = ""
    software: str = ""
    quality: int | None = None
    has_exif: bool = False
    has_profile: bool = False
    is_animated: bool = False

    @property
    def pixels(self) -> int:
        """Number of pixels; 0 if unknown."""
        return self.width * self.height


def facts_of(content: bytes, name: str = "") -> FileFacts:
    """Reads the facts from a file's bytes and name. Decodes no pixels and never raises.

    Opens the same formats as `decode.read`. If the file cannot be opened, only these facts are known: the suffix, the
    format by the first bytes, and the size and mode of a TIFF.
    """
    suffix = sys.intern(PurePath(name).suffix.lower())
    kind = ""
    with contextlib.suppress(Exception):  # damaged files make Pillow raise many types
        kind = file_format(content)
        if unreadable_kind(content):
            return FileFacts(suffix=suffix)
        return _facts(_header(content), content, suffix)
    with contextlib.suppress(Exception):
        if kind == "TIFF":  # tifffile can read some files that Pillow cannot
            tags = tiff_tags(content)
            width, height = _upright_size(int(tags[256]), int(tags[257]), tags.get(274))
            return FileFacts(kind, suffix, _tiff_mode(tags), width, height)
    return FileFacts(kind, suffix)


def shortcut_facts(facts: Sequence[FileFacts]) -> dict[str, NDArray[Any]]:
    """The facts that are possible shortcuts: a model could use them to classify without looking at the content.

    They depend on how the image was taken and stored. Facts that depend on the content are left out, because they are
    not shortcuts: a forest has more detail than the sea, so its file has more bytes per pixel.

    Returns:
        Name -> (N,) column: object arrays of str for categories, float64 for numbers; NaN if a number is unknown.
    """
    categories = {
        "format": [fact.format for fact in facts],
        "suffix": [fact.suffix for fact in facts],
        "mode": [fact.mode for fact in facts],
        "camera": [fact.camera for fact in facts],
        "software": [fact.software for fact in facts],
        "EXIF": ["yes" if fact.has_exif else "no" for fact in facts],
        "colour profile": ["yes" if fact.has_profile else "no" for fact in facts],
        "animated": ["yes" if fact.is_animated else "no" for fact in facts],
    }
    numbers = {
        "width": [fact.width or np.nan for fact in facts],
        "height": [fact.height or np.nan for fact in facts],
        "JPEG quality": [np.nan if fact.quality is None else fact.quality for fact in facts],
    }
    return {name: np.array(column, object) for name, column in categories.items()} | {
        name: np.array(column, np.float64) for name, column in numbers.items()
    }


def _header(content: bytes) -> ImageFile.ImageFile:
    try:
        return opened(content)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        with room_for(LARGE + 1, 1):  # some of Pillow's plugins refuse a large image when it is opened
            return opened(content)


def _facts(file: ImageFile.ImageFile, content: bytes, suffix: str) -> FileFacts:
    """The facts of an opened file."""
    (width, height), mode, is_animated, exif = file.size, file.mode, False, Image.Exif()
    tags = getattr(file, "tag_v2", None) if file.format == "TIFF" else None
    with contextlib.suppress(Exception):
        exif = Image.Image.getexif(file)  # PngImageFile.getexif would decode the pixels
    has_exif = bool(
        file.info.get("exif") or "Raw profile type exif" in file.info or (tags is not None and 34665 in tags)
    )
    with contextlib.suppress(Exception):
        if file.format == "PNG" and not has_exif and (late := _late_exif(content)):
            has_exif = True
            exif.load(late)
    with contextlib.suppress(Exception):
        if file.format == "PNG" and content[24] == 16:
            mode = {2: "RGB;16", 4: "LA;16", 6: "RGBA;16"}.get(content[25], mode)
        elif tags is not None:
            width, height = int(tags[256]), int(tags[257])  # some versions of Pillow swap them in `size`
            mode = _tiff_mode(tags) if deep.is_deep_tiff(content) else mode
    with contextlib.suppress(Exception):
        width, height = _upright_size(width, height, exif.get(ExifTags.Base.Orientation))
    with contextlib.suppress(Exception):
        is_animated = file.format in ANIMATED and bool(getattr(file, "is_animated", False))
    return FileFacts(
        sys.intern(file.format or ""),
        suffix,
        sys.intern(mode),
        width,
        height,
        sys.intern(_camera(_text(exif, ExifTags.Base.Make), _text(exif, ExifTags.Base.Model))),
        sys.intern(_text(exif, ExifTags.Base.Software) or _clean(file.info.get("Software"))),
        _quality(file),
        has_exif,
        bool(file.info.get("icc_profile")),
        is_animated,
    )


def _late_exif(content: bytes) -> bytes:
    """The eXIf chunk of a PNG at any position: macOS writes it after the pixels. Empty if there is none."""
    place = 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"eXIf":
            return content[place + 8 : place + 8 + length]
        place += 12 + length
    return b""


def _upright_size(width: int, height: int, orientation: Any) -> tuple[int, int]:
    return (height, width) if orientation in SIDEWAYS else (width, height)


def _tiff_mode(tags: Any) -> str:
    """ "RGB;16", "L;32F": channels, bits and "F" for floats. Pillow's modes do not have them for colour TIFFs."""
    bits, kind, channels = (deep.tag(tags, number) for number in (258, 339, 277))
    if channels == 1 and kind != 3:
        return f"I;{bits}"
    name = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    return f"{name};{bits}{'F' if kind == 3 else ''}"


def _text(exif: Image.Exif, tag: int) -> str:
    try:
        return _clean(exif.get(tag))
    except Exception:  # a value may be damaged
        return ""


def _clean(value: Any) -> str:
    """A metadata value as one short line: up to its first null character, without control characters."""
    value = value[0] if isinstance(value, tuple) and value else value
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return ""
    text = " ".join(text[: 100 * LONGEST].split("\0")[0].split())
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST].strip()


def _camera(make: str, model: str) -> str:
    """Joins make and model: "NIKON CORPORATION", "NIKON D90" -> "NIKON D90"; "Apple", "iPhone 12" -> both."""
    repeated = make and model.lower().startswith(make.split()[0].lower())
    return model if repeated else f"{make} {model}".strip()


def _quality(file: ImageFile.ImageFile) -> int | None:
    """The quality whose standard luminance table has a sum nearest to the sum of the file's table.

    Exact for libjpeg and programs that use it (Pillow, ImageMagick, OpenCV). It is an estimate for cameras and
    Photoshop, which use other tables.
    """
    tables = getattr(file, "quantization", None)
    if not tables:
        return None
    total = -sum(tables[min(tables)])
    place = bisect.bisect_left(SUMS, total)
    near = [i for i in (place - 1, place) if 0 <= i < len(SUMS)]
    return 1 + min(near, key=lambda i: abs(SUMS[i] - total))
