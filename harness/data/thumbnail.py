"""A small JPEG of an image, to show on a page: pixels alone, without EXIF."""

from __future__ import annotations

import io

from PIL import Image

QUALITY = 85


def thumbnail(image: Image.Image, side: int) -> bytes:
    """Returns an image of mode RGB or L as a JPEG of at most `side` pixels in width and height."""
    small = image.copy()
    small.info.clear()  # else Pillow writes a colour profile and comments again
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
