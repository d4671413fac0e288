"""Decodes any image file to an upright 8-bit RGB or grey image.

Decoding has two steps: `read` loads the pixels, and `to_image` converts them to 8 bits. Between them, the range of
values of more than 8 bits is inferred for the whole data set (`depth.infer_range`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageFile, ImageOps

from harness.data import deep
from harness.data.deep import Values
from harness.data.depth import Depth, Range, infer_range
from harness.data.formats import (
    UnreadableError,
    file_format,
    tiff_tags,
    unreadable_kind,
)
from harness.data.large import LARGE, SIDE, is_large, reduction, require_readable, room_for, smaller
from harness.data.opening import opened
from harness.errors import DataError


@dataclass(frozen=True)
class Raw:
    """The pixels of a file, upright: either `image` or `values`."""

    image: Image.Image | None = None  # in any 8-bit mode
    values: Values | None = None  # (H, W), or (H, W, C) with C of 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)
    declared: float | None = None  # the largest possible value, if the file declares it
    inverted: bool = False  # whether 0 is white

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels. For a large image, the size after it was reduced."""
        shape = (0, 0) if self.values is None else self.values.shape
        return (shape[1], shape[0]) if self.image is None else self.image.size

    @property
    def needs_range(self) -> bool:
        """Whether the values have more than 8 bits, and the file does not declare their range."""
        return self.values is not None and self.declared is None

    @property
    def colours(self) -> Values:
        """`values` without alpha, for `Depth.of`. Raises ValueError for an 8-bit image."""
        if self.values is None:
            raise ValueError("an 8-bit image has no values of more than 8 bits")
        has_alpha = self.values.ndim == 3 and self.values.shape[2] in (2, 4)
        return self.values[..., :-1] if has_alpha else self.values


def read(content: bytes, side: int = 0) -> Raw:
    """Opens a file and loads its pixels, with the camera's rotation (EXIF) applied.

    Only the first frame of an animation is read, and only the first page of a file. An image of more than 89
    megapixels is reduced: a JPEG while it is decoded, other formats by averaging blocks of pixels. The shorter side
    keeps at least 4096 pixels, unless more than 89 megapixels would be left. Only one such image is read at a time.

    Peak memory for an image of 120 megapixels: 0.2 GB for JPEG (0.5 GB for progressive JPEG), 0.7 GB for other 8-bit
    files (6 bytes per pixel), 1.8 GB for 16-bit colour PNG (15 bytes per pixel). It is proportional to the number of
    pixels: expect 3 GB for 500 megapixels of 8 bits.

    Args:
        content: The bytes of the file.
        side: Pixels. If not 0, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides keep this
            number of pixels. This is several times faster, but loses detail.

    Raises:
        UnreadableError: The file is not an image, its format is not supported, or it is too large; see `reason`.
        Exception: Pillow's decoders raise many types if a file is damaged; `problem` names the reason.
    """
    kind = unreadable_kind(content)
    if kind:
        raise UnreadableError(kind, f"cannot identify an image: it is {kind}")
    if file_format(content) == "TIFF" and deep.is_deep_tiff(content):
        return _read_tiff(content)
    size = (LARGE + 1, 1)  # if Pillow refuses the file before its size is known
    with contextlib.suppress(Image.DecompressionBombWarning, Image.DecompressionBombError), opened(content) as file:
        size = file.size
        if not is_large(*size):
            return _load(file, content, side)
    with room_for(*size), opened(content) as file:
        require_readable(*file.size)
        return _load(file, content, side)


def of_pillow(image: Image.Image) -> Raw:
    """Converts a PIL image to what `read` returns for its file. Values of more than 8 bits are kept."""
    if image.mode.startswith("I") or image.mode == "F":
        return Raw(values=deep.upright(_values(image), _orientation(image)))
    return Raw(image=_upright(image))


def to_image(raw: Raw, value_range: Range | None, channels: int = 3, background: str = "white") -> Image.Image:
    """Converts the result of `read` to an 8-bit image.

    Values of more than 8 bits are scaled linearly and rounded (see `deep.to_eight_bits`). The range is 0 to `declared`
    if the file declares its largest value, or else `value_range`.

    Args:
        raw: The result of `read`.
        value_range: The pixel values shown as black and as white. May be None if no range is needed.
        channels: 3 for mode RGB, 1 for mode L.
        background: The colour behind transparent pixels, a colour name of Pillow: "white", "#808080".

    Raises:
        ValueError: The range is missing or empty, or `background` is not a colour.
    """
    if raw.image is not None:
        image = raw.image
    else:
        low, high = (0.0, raw.declared) if raw.declared is not None else value_range or (0.0, 0.0)
        if raw.values is None or not high > low:
            raise ValueError(f"values of more than 8 bits need a range (LOW, HIGH), not {value_range}")
        image = deep.to_eight_bits(raw.values, low, high, raw.inverted)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, ImageColor.getrgb(background))
        image = Image.alpha_composite(behind, image)
    if image.mode == "LAB":
        image = _lab_to_rgb(image)
    return image.convert("RGB") if channels == 3 else image.convert("RGB").convert("L")


def decode(
    content: bytes, value_range: Range | None = None, channels: int = 3, background: str = "white"
) -> Image.Image:
    """Decodes a file's bytes with `read` and `to_image`. Raises the same errors.

    Without `value_range`, the range of values of more than 8 bits is inferred from this file only.
    """
    raw = read(content)
    if raw.needs_range and value_range is None:
        value_range = infer_range(Depth.of(raw.colours))
    return to_image(raw, value_range, channels, background)


def problem(content: bytes, decoder: Callable[[bytes], Any] = decode) -> str:
    """Returns why these bytes cannot be decoded by `decoder`, in a few words; "" if they can be decoded."""
    if not content:
        return "empty"
    try:
        decoder(content)
    except UnreadableError as error:
        return error.reason
    except DataError as error:
        return f"{error.what}: {error.why}"
    except MemoryError:
        return "too large for the free memory"
    except Exception as error:  # Pillow's decoders raise many types
        return "truncated" if "truncated" in str(error).lower() else f"damaged: {str(error) or type(error).__name__}"
    return ""


def _read_tiff(content: bytes) -> Raw:
    """Reads a TIFF of more than 8 bits: with Pillow if it has one channel, or else with tifffile."""
    tags = tiff_tags(content)
    bits, kind, channels, photometric = (deep.tag(tags, number) for number in (258, 339, 277, 262))
    inverted = photometric == 0
    with room_for(tags[256], tags[257]):
        values = None
        if channels == 1 and photometric in (0, 1) and (bits, kind) in deep.PILLOW_TIFFS:
            with contextlib.suppress(UnreadableError), opened(content) as file:
                file.load()  # Pillow applies the orientation of a TIFF here
                values = _values(file)
        if values is None:
            values = deep.tiff(content, tags)
        elif (bits, kind) == (32, 1):
            values = values.view(np.uint32)  # Pillow has no unsigned mode, and reads the bits as signed
        values = deep.reduced(values, reduction(values.shape[1], values.shape[0]))
    declared = None if bits in (16, 32, 64) or kind != 1 else 2.0**bits - 1
    return Raw(values=values, declared=declared, inverted=inverted)


def _load(file: ImageFile.ImageFile, content: bytes, side: int) -> Raw:
    """Loads an opened file, and reduces a large image."""
    declared, values = None, None
    if file.format == "SGI" and content[3] == 2:
        raise UnreadableError("16-bit SGI; save it as PNG")  # Pillow would keep the top byte
    if file.format == "PNG" and content[24] == 16 and file.mode.startswith("RGB"):
        values = deep.colour_png(content)
    elif file.format == "JPEG2000" and deep.jpeg2000_bits(content) == 16 and not file.mode.startswith("I"):
        values = deep.jpeg2000(content)
    else:
        if side or is_large(*file.size):
            file.draft(None, (side or SIDE, side or SIDE))  # has an effect only for JPEG
        file.load()
        if file.mode.startswith("I") or file.mode == "F":
            values = _values(file)
            declared = _declared(file, content)
    factor = reduction(*file.size)
    if values is None:
        return Raw(image=_upright(file if factor == 1 else smaller(file, factor)))
    if file.format == "PNG" and "transparency" in file.info:
        values = deep.with_transparency(values, file.info["transparency"])
    if file.format != "PNG" or any(
        name in content for name in (b"eXIf", b"xmp", b"Raw profile")
    ):  # without metadata there is no rotation, and to ask for it would load the file again
        values = deep.upright(values, _orientation(file))
    return Raw(values=deep.reduced(values, factor), declared=declared)


def _values(file: Image.Image) -> Values:
    values = np.asarray(file)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _declared(file: ImageFile.ImageFile, content: bytes) -> float | None:
    """65535 if the header declares fewer than 16 bits, because Pillow scales the values of these formats to 16 bits.

    A header that declares 16 bits is not reliable, as in a 16-bit PNG: many programs write it for 12 bits.
    """
    if file.mode == "F":
        return None
    if file.format == "JPEG2000" and deep.jpeg2000_bits(content) < 16:
        return float(deep.FULL)
    return float(deep.FULL) if file.format == "PPM" and deep.pnm_maximum(content) < deep.FULL else None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the pixels can be valid although the EXIF block is damaged
        return image.copy()


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels can be valid although the EXIF block is damaged
        return 1


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    """Converts CIE Lab (a TIFF of a print program), which `Image.convert` does not support."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return result or image  # None only if it works in place
