"""Reads values of more than 8 bits, also in files that Pillow silently reads as 8 bits, and scales them to 8 bits."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from harness.data.formats import UnreadableError, tiff_tags
from harness.util.packages import install_command

Values = NDArray[Any]  # (H, W) or (H, W, C); C is 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)

FULL = 65535  # the largest value of 16 bits
STRIP = 256  # rows that are scaled or averaged at once, so that memory never holds the floats of a whole image
GREY_ALPHA, RGBA = 4, 6  # PNG's colour types
# TIFF's PhotometricInterpretation (white is zero, black is zero, RGB, CMYK) -> channels
CHANNELS = {0: 1, 1: 1, 2: 3, 5: 4}
PHOTOMETRICS = {2: "colour ", 3: "palette ", 5: "CMYK ", 6: "YCbCr ", 8: "Lab "}
# (bits per value, SampleFormat: 1 unsigned, 2 signed, 3 float) of TIFFs of one channel that Pillow reads without loss
PILLOW_TIFFS = {(12, 1), (16, 1), (16, 2), (32, 1), (32, 2), (32, 3)}


def colour_png(content: bytes) -> Values:
    """Reads a 16-bit PNG with more than one channel, (H, W, C) uint16.

    Pillow keeps only one byte of each value: the high byte if it gets the file's byte order, the low byte if it gets
    the opposite order. So the file is read twice. Grey with alpha has four bytes per pixel, like 8-bit RGBA, and is
    read as 8-bit RGBA. torchvision's decoder needs only one pass, but it is deprecated since 0.29 and prints a warning.
    """
    if content[25] == GREY_ALPHA:
        header = b"IHDR" + content[16:24] + bytes((8, RGBA)) + content[26:29]
        patched = content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]
        with PngImagePlugin.PngImageFile(io.BytesIO(patched)) as file:
            return np.asarray(file).view(">u2").astype(np.uint16)
    values = _png_bytes(content, "B").astype(np.uint16)
    values <<= 8
    values |= _png_bytes(content, "L")
    return values


def _png_bytes(content: bytes, order: str) -> NDArray[np.uint8]:
    """The high ("B") or low ("L") byte of each value of a 16-bit RGB or RGBA PNG."""
    with PngImagePlugin.PngImageFile(io.BytesIO(content)) as file:
        ((decoder, box, offset, rawmode),) = file.tile
        if rawmode not in ("RGB;16B", "RGBA;16B"):
            raise UnreadableError(f"16-bit colour PNG, which this version of Pillow reads differently ({rawmode})")
        file.tile = [(decoder, box, offset, rawmode[:-1] + order)]  # type: ignore[list-item,unused-ignore]
        return np.asarray(file)


def with_transparency(values: Values, transparent: Any) -> Values:
    """Adds an alpha channel to a 16-bit PNG whose header declares one colour as transparent."""
    matches = values == np.asarray(transparent)
    alpha = np.where(matches if values.ndim == 2 else matches.all(axis=2), 0, FULL).astype(values.dtype)
    return np.dstack([values, alpha])


def is_deep_tiff(content: bytes) -> bool:
    """Whether a TIFF has more than 8 bits per value, or signed or float values; False if its tags are damaged."""
    try:
        tags = tiff_tags(content)
        return tag(tags, 258) > 8 or tag(tags, 339) in (2, 3)
    except Exception:  # Pillow names the damage when it opens the file
        return False


def tag(tags: Mapping[int, Any], number: int) -> int:
    """The largest value of a TIFF's tag. 1 if there is no such tag: the default of all tags that are read here."""
    value = tags.get(number, 1)
    return int(max(value) if isinstance(value, tuple) else value)


def tiff(content: bytes, tags: Mapping[int, Any]) -> Values:
    """Reads a TIFF's first page with tifffile: colour images, and files that Pillow cannot read.

    Raises:
        UnreadableError: tifffile is not installed, or the page is not an image of 1 to 4 channels.
    """
    bits, kind, channels, photometric = (tag(tags, number) for number in (258, 339, 277, 262))
    name = f"{bits}-bit {PHOTOMETRICS.get(photometric, '')}{ {2: 'signed ', 3: 'float '}.get(kind, '') }TIFF"
    base = 3 if photometric == 1 and channels == 3 else CHANNELS.get(photometric, 0)  # GDAL writes RGB as three greys
    if channels not in (base, base + 1) or not base or kind > 4:
        raise UnreadableError(f"{name} of {channels} channels, photometric {photometric}; save it as grey or RGB")
    try:
        import tifffile  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise UnreadableError(f"{name} needs tifffile: {install_command('tiff')}") from error
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        values: Values = page.asarray()
    if page.axes.startswith("S") and values.ndim == 3:  # one plane per channel
        values = np.moveaxis(values, 0, 2)
    values = values.reshape(page.imagelength, page.imagewidth, channels)
    extra = tag(tags, 338) if channels > base and 338 in tags else 0
    if channels > base and extra not in (1, 2):  # a channel that is not alpha
        values = values[..., :base]
    elif channels > base and extra == 1:
        values = _unmultiplied(values)
    if photometric == 5:
        values = _cmyk_to_rgb(values, float(2**bits - 1))
    return upright(values[..., 0] if values.shape[2] == 1 else values, tag(tags, 274))


def jpeg2000(content: bytes) -> Values:
    """Reads a 16-bit JPEG 2000 with several channels, (H, W, C) uint16. Pillow would keep only the high byte."""
    try:
        from imagecodecs import jpeg2k_decode  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise UnreadableError(f"16-bit colour JPEG 2000 needs imagecodecs: {install_command('tiff')}") from error
    values: Values = jpeg2k_decode(content)
    return values


def jpeg2000_bits(content: bytes) -> int:
    """Bits per value that a JPEG 2000 declares (Ssiz of its SIZ marker); 8 if there is none."""
    place = content.find(b"\xff\x4f\xff\x51")
    return (content[place + 42] & 0x7F) + 1 if 0 <= place < len(content) - 42 else 8


def pnm_maximum(content: bytes) -> int:
    """The largest value that a PGM or PPM declares in its header."""
    return int(re.sub(rb"#[^\r\n]*", b"", content[:1000]).split()[3])


def upright(values: Values, orientation: int) -> Values:
    """Applies an EXIF orientation, 1 to 8. Returns a view."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return values[rows, columns]


def reduced(values: Values, factor: int) -> Values:
    """Averages blocks of factor × factor pixels, in the same dtype. Incomplete blocks at an edge are left out."""
    if factor == 1:
        return values
    height, width = (side // factor for side in values.shape[:2])
    result = np.empty((height, width, *values.shape[2:]), values.dtype)
    for top in range(0, height, STRIP):
        rows = min(STRIP, height - top)
        strip = values[top * factor : (top + rows) * factor, : width * factor]
        mean = strip.reshape(rows, factor, width, factor, *values.shape[2:]).mean(axis=(1, 3), dtype=np.float64)
        result[top : top + rows] = np.rint(mean) if values.dtype.kind in "iu" else mean
    return result


def to_eight_bits(values: Values, low: float, high: float, inverted: bool = False) -> Image.Image:
    """Scales values to an image of mode L, LA, RGB or RGBA: floor((v - low) / (high - low) * 255 + 0.5), clipped.

    For 16 bits this is v / 257, rounded; the high byte, v // 256, differs from it by at most 1. NaN becomes `low`.
    Alpha is scaled by the largest value of 8, 10, 12, 14 or 16 bits, whichever is the first that is large enough (1
    for floats): some part of an image is always opaque.
    """
    channels = 1 if values.ndim == 2 else values.shape[2]
    result = np.empty(values.shape, np.uint8)
    colours = (...,) if channels in (1, 3) else (..., slice(-1))
    alpha_high = _alpha_high(values) if channels in (2, 4) else 0.0
    for top in range(0, len(values), STRIP):
        strip = slice(top, top + STRIP)
        result[strip][colours] = _scaled(values[strip][colours], low, high, inverted)
        if channels in (2, 4):
            result[strip][..., -1] = _scaled(values[strip][..., -1], 0, alpha_high)
    return Image.fromarray(result)


def _scaled(values: Values, low: float, high: float, inverted: bool = False) -> NDArray[np.uint8]:
    scaled = values.astype(np.float64)
    scaled -= low
    scaled *= 255 / (high - low)
    if inverted:
        np.subtract(255, scaled, out=scaled)
    scaled = np.nan_to_num(scaled, copy=False, nan=0.0)
    return (scaled + 0.5).clip(0, 255).astype(np.uint8)


def _alpha_high(values: Values) -> float:
    largest = float(np.nanmax(values[..., -1]))
    if values.dtype.kind == "f" and largest <= 1:
        return 1.0
    return next((float(high) for high in (255, 1023, 4095, 16383, FULL) if largest <= high), largest)


def _unmultiplied(values: Values) -> Values:
    """Divides colours by alpha, which undoes TIFF's associated alpha."""
    high = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    alpha = values[..., -1:] / high
    colours = np.divide(values[..., :-1], alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0).clip(0, high)
    return np.concatenate([colours.astype(values.dtype), values[..., -1:]], axis=2)


def _cmyk_to_rgb(values: Values, high: float) -> Values:
    """The conversion of Pillow, with more bits: (high - ink) * (high - black) / high."""
    inks = high - values.astype(np.float64)
    return np.asarray(np.rint(inks[..., :3] * inks[..., 3:4] / high), values.dtype)
