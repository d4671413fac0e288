"""Any image file as 8-bit RGB, the way a person sees it."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
from PIL import Image, ImageOps

# Of Pillow's formats those that run no program. It would give EPS to Ghostscript, whatever the file's name says.
HARMLESS = {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP"}
# one such block in an image of thousands; the pixels are sound, and `_upright` goes on without it
warnings.filterwarnings("ignore", message="Corrupt EXIF data", category=UserWarning)


def decode(content: bytes) -> Image.Image:
    """Decodes a file's bytes to mode RGB. Raises whatever Pillow raises; `check.problem` names it for people.

    The camera's rotation (EXIF) is applied; 16-bit grey keeps its top eight bits, where Pillow's own conversion would
    clip; what is transparent lies on white, where Pillow's own conversion would show whatever colour is hidden there.
    Of an animation the first frame counts.
    """
    with Image.open(io.BytesIO(content), formats=_formats()) as file:
        file.load()
        image: Image.Image = _upright(file)
        if image.mode.startswith("I") or image.mode == "F":
            image = _eight_bits(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")


@cache
def _formats() -> list[str]:
    """Those of HARMLESS that this Pillow can open."""
    Image.init()
    return sorted(HARMLESS & Image.OPEN.keys())


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as 8 bits: of integers (modes I;16, I) the top half of 16, of floats (F) by 1 or 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode != "F":
        values = values // 256
    elif values.max() <= 1.0:
        values = values * 255
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
