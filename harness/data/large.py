"""Large images: above 89 megapixels they are read one at a time and reduced, above 500 megapixels they are refused."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator

from PIL import Image

from harness.data.formats import UnreadableError

MOST_PIXELS = 500_000_000  # larger images are refused
LARGE = 89_478_485  # pixels (Pillow's limit); larger images are read one at a time, and reduced
SIDE = 4096  # least pixels of the shorter side of a reduced image, unless more than LARGE pixels would be left
STRIP = 256  # rows of the result that are averaged at once

_large_image = threading.Lock()  # held while a large image is read: two at a time would need twice the memory


def is_large(width: int, height: int) -> bool:
    return width * height > min(LARGE, Image.MAX_IMAGE_PIXELS or LARGE)


def require_readable(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        megapixels, most = width * height / 1e6, MOST_PIXELS / 1e6
        raise UnreadableError(f"{megapixels:.0f} megapixels; at most {most:.0f} are read")


@contextlib.contextmanager
def room_for(width: int, height: int) -> Iterator[None]:
    """Refuses an image with too many pixels, and holds the lock while a large image is read.

    Pillow has one limit for the whole process. It is raised while the lock is held, and restored afterwards. During
    this time, another thread can read an image of up to MOST_PIXELS without a warning.
    """
    require_readable(width, height)
    if not is_large(width, height):
        yield
        return
    with _large_image:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
        try:
            yield
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UnreadableError(f"more than {MOST_PIXELS / 1e6:.0f} megapixels") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def reduction(width: int, height: int) -> int:
    """The number by which the sides of a large image are divided; 1 for other images."""
    if width * height <= LARGE:
        return 1
    return max(min(width, height) // SIDE, math.ceil(math.sqrt(width * height / LARGE)))


def smaller(image: Image.Image, factor: int) -> Image.Image:
    """Averages blocks of pixels, strip by strip. Palette and 1-bit images are converted first."""
    mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    if image.has_transparency_data:
        mode = "RGBA"
    result = Image.new(mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}  # EXIF is in it
    for top in range(0, image.height, STRIP * factor):
        strip = image.crop((0, top, image.width, min(top + STRIP * factor, image.height)))
        result.paste(strip.convert(mode).reduce(factor), (0, top // factor))
    return result
