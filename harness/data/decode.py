"""Any image file as 8-bit RGB or grey, the way a person sees it.

Decoding has two steps, because the range of values of more than 8 bits is decided for a whole data set between them
(`depth.infer_range`): `read` loads the pixels, `to_image` makes them 8-bit.
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

    image: Image.Image | None = None  # of any 8-bit mode
    values: Values | None = None  # (H, W), or (H, W, C) with C of 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)
    declared: float | None = None  # the largest possible value, if the file says so
    inverted: bool = False  # whether 0 is white

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; of a large image, after it was made smaller."""
        shape = (0, 0) if self.values is None else self.values.shape
        return (shape[1], shape[0]) if self.image is None else self.image.size

    @property
    def needs_range(self) -> bool:
        """Whether the values have more than 8 bits, and the file does not say their range."""
        return self.values is not None and self.declared is None

    @property
    def colours(self) -> Values:
        """`values` without alpha, as `Depth.of` takes them. Raises ValueError for an 8-bit image."""
        if self.values is None:
            raise ValueError("an 8-bit image has no values of more than 8 bits")
        has_alpha = self.values.ndim == 3 and self.values.shape[2] in (2, 4)
        return self.values[..., :-1] if has_alpha else self.values


def read(content: bytes, side: int = 0) -> Raw:
    """Opens a file and loads its pixels, with the camera's rotation (EXIF) applied.

    Of an animation or a file with several pages, the first counts. Images of more than 89 megapixels are read one at a
    time and made smaller: JPEG while it is decoded, others by averaging blocks of pixels. The shorter side keeps at
    least 4096 pixels, unless more than 89 megapixels would be left.

    Peak memory of such a read, measured with 120 megapixels: 0.2 GB for JPEG (0.5 GB for progressive JPEG), 0.7 GB for
    other files of 8 bits (6 bytes a pixel), 1.8 GB for colour PNG of 16 bits (15 bytes a pixel). It grows with the
    pixels: expect 3 GB for 500 megapixels of 8 bits.

    With `side`, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, if both sides keep that many pixels. It is
    several times as fast, for those who need no detail.

    Raises:
        UnreadableError: The file is no image, of a format that is not read, or too large; `reason` says which.
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
    """What `read` returns for the file that a PIL image was opened from; its values of more than 8 bits are kept."""
    if image.mode.startswith("I") or image.mode == "F":
        return Raw(values=deep.upright(_values(image), _orientation(image)))
    return Raw(image=_upright(image))


def to_image(raw: Raw, value_range: Range | None, channels: int = 3, background: str = "white") -> Image.Image:
    """Makes what `read` returned an 8-bit image.

    Values of more than 8 bits are scaled linearly and rounded, `v * 255 / high` (see `deep.to_eight_bits`): from 0 to
    `declared` if the file declares its largest value, from `value_range` if not.

    Args:
        raw: What `read` returned.
        value_range: The values shown as black and as white; may be None for 8-bit images and for declared ones.
        channels: 3 for mode RGB, 1 for mode L.
        background: The colour behind transparent pixels, as Pillow names it: "white", "#808080".

    Raises:
        ValueError: The range is missing or empty, or `background` is no colour.
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
    """Decodes a file's bytes: `read`, then `to_image`. Raises what those raise.

    Without `value_range`, the range of values of more than 8 bits is inferred from this file alone.
    """
    raw = read(content)
    if raw.needs_range and value_range is None:
        value_range = infer_range(Depth.of(raw.colours))
    return to_image(raw, value_range, channels, background)


def problem(content: bytes, decoder: Callable[[bytes], Any] = decode) -> str:
    """Why these bytes cannot be decoded, in a few words; empty if they can. `decoder` decodes them."""
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
    """A TIFF of more than 8 bits: one channel by Pillow, the others and what Pillow cannot read by tifffile."""
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
            values = values.view(np.uint32)  # Pillow has no such mode, and takes the bits as signed
        values = deep.reduced(values, reduction(values.shape[1], values.shape[0]))
    declared = None if bits in (16, 32, 64) or kind != 1 else 2.0**bits - 1
    return Raw(values=values, declared=declared, inverted=inverted)


def _load(file: ImageFile.ImageFile, content: bytes, side: int) -> Raw:
    """Loads an opened file; a large one is made smaller."""
    declared, values = None, None
    if file.format == "SGI" and content[3] == 2:
        raise UnreadableError("16-bit SGI; save it as PNG")  # Pillow would keep the top byte
    if file.format == "PNG" and content[24] == 16 and file.mode.startswith("RGB"):
        values = deep.colour_png(content)
    elif file.format == "JPEG2000" and deep.jpeg2000_bits(content) == 16 and not file.mode.startswith("I"):
        values = deep.jpeg2000(content)
    else:
        if side or is_large(*file.size):
            file.draft(None, (side or SIDE, side or SIDE))  # only JPEG can; the other formats do nothing here
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
    ):  # else it loads again
        values = deep.upright(values, _orientation(file))
    return Raw(values=deep.reduced(values, factor), declared=declared)


def _values(file: Image.Image) -> Values:
    values = np.asarray(file)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _declared(file: ImageFile.ImageFile, content: bytes) -> float | None:
    """65535 if the header declares fewer than 16 bits, because Pillow scales the values of these formats to 16 bits.

    A header that declares 16 bits says as little as a 16-bit PNG does: many programs write it for 12 bits.
    """
    if file.mode == "F":
        return None
    if file.format == "JPEG2000" and deep.jpeg2000_bits(content) < 16:
        return float(deep.FULL)
    return float(deep.FULL) if file.format == "PPM" and deep.pnm_maximum(content) < deep.FULL else None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image.copy()


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    """CIE Lab (a TIFF from a print program), which `Image.convert` cannot read."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return result or image  # None only if it works in place
