"""Makes a small JPEG of an image, to show on a page. It contains only pixels, no EXIF."""

from __future__ import annotations

import io

from PIL import Image

QUALITY = 85


def thumbnail(image: Image.Image, side: int) -> bytes:
    """Returns an image of mode RGB or L as a JPEG of at most `side` pixels in width and height."""
    small = image.copy()
    small.info.clear()  # Pillow would write the colour profile and comments to the JPEG
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
