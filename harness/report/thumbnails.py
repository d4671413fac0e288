"""Small copies of images. They are made from the pixels only, so they have no metadata."""

from __future__ import annotations

import base64
import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from harness.data.decode import decode
from harness.data.depth import Range
from harness.data.images import file_of
from harness.util.parallel import in_threads

FEW = 160  # up to this number of images, LARGE_SIDE is used
SIDE, LARGE_SIDE = 112, 176  # pixels of the longer side
QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """A small image as a `data:` address, and its size in pixels."""

    address: str
    width: int
    height: int


def thumbnails(
    root: Path, paths: Sequence[str], value_range: Range | None = None, side: int | None = None
) -> Iterator[Thumbnail | None]:
    """Yields a small copy of each image, in order, or None if the image cannot be read.

    Args:
        root: The folder that `paths` are relative to.
        paths: The paths of the images.
        value_range: The value range of images with more than 8 bits.
        side: Pixels of the longer side. By default it is smaller if there are many images.
    """
    longest = side or (LARGE_SIDE if len(paths) <= FEW else SIDE)

    def small(path: str) -> Thumbnail | None:
        try:
            content = file_of(root, path).read_bytes()
            return thumbnail(_quickly(content, longest) or decode(content, value_range), longest)
        except Exception:  # a decoder may raise anything, and the report still shows the prediction
            return None

    return in_threads(small, paths)


def thumbnails_within(
    most: int,
    root: Path,
    paths: Sequence[str],
    value_range: Range | None = None,
    step: Callable[[], object] = lambda: None,
) -> dict[str, Thumbnail | None]:
    """Returns small copies of the first images, until their total length is above `most` characters.

    Args:
        most: The largest total length of all addresses, in characters.
        root: The folder that `paths` are relative to.
        paths: The paths of the images, the most important first. An image that the page shows twice must be in it
            twice, because each address contains the whole image.
        value_range: The value range of images with more than 8 bits.
        step: Called after each image.

    Returns:
        Path -> its copy, or None if the image cannot be read. Paths without room are missing.
    """
    known: dict[str, Thumbnail | None] = {}
    uses, size = Counter(paths), 0
    for path, small in zip(uses, thumbnails(root, list(uses), value_range), strict=False):
        step()
        size += uses[path] * len(small.address) if small is not None else 0
        if size > most:
            break
        known[path] = small
    return known


def _quickly(content: bytes, side: int) -> Image.Image | None:
    """A JPEG decoded quickly at a reduced size, at least twice `side`. None for other formats and damaged files."""
    if not content.startswith(b"\xff\xd8\xff"):
        return None
    with contextlib.suppress(Exception), JpegImageFile(io.BytesIO(content)) as file:  # `decode` reports errors
        file.draft(None, (2 * side, 2 * side))
        file.load()
        return ImageOps.exif_transpose(file)
    return None


def thumbnail(image: Image.Image, side: int = SIDE) -> Thumbnail:
    """Returns a copy of `image` as JPEG, at most `side` pixels long, without EXIF, comments or colour profile."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    bare = Image.fromarray(np.asarray(small))  # an image from an array has only pixels
    content = io.BytesIO()
    bare.save(content, "jpeg", quality=QUALITY, optimize=True)
    address = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
    return Thumbnail(address, *bare.size)
