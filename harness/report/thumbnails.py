"""Small copies of images, made from their pixels alone: nothing else of a photograph's file is in them."""

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

FEW = 160  # images: so few may be larger
SIDE, LARGE_SIDE = 112, 176  # pixels of the longer side
QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """A small image as a `data:` address, with its size in pixels."""

    address: str
    width: int
    height: int


def thumbnails(
    root: Path, paths: Sequence[str], value_range: Range | None = None, side: int | None = None
) -> Iterator[Thumbnail | None]:
    """Yields a small copy of each image, in order; None for one that is gone or cannot be read.

    Args:
        root: The folder that `paths` are relative to.
        paths: Of the images.
        value_range: Of images with more than 8 bits.
        side: Pixels of the longer side; by default fewer for many images.
    """
    longest = side or (LARGE_SIDE if len(paths) <= FEW else SIDE)

    def small(path: str) -> Thumbnail | None:
        try:
            content = file_of(root, path).read_bytes()
            return thumbnail(_quickly(content, longest) or decode(content, value_range), longest)
        except Exception:  # whatever a decoder raises: the prediction is still there
            return None

    return in_threads(small, paths)


def thumbnails_within(
    most: int,
    root: Path,
    paths: Sequence[str],
    value_range: Range | None = None,
    step: Callable[[], object] = lambda: None,
) -> dict[str, Thumbnail | None]:
    """Returns a small copy of each image, until a page with all of them would be longer than `most` characters.

    Args:
        most: Characters of all addresses.
        root: The folder that `paths` are relative to.
        paths: Of the images; the first ones are the most important. One that the page shows twice is in it twice, as
            an address is a whole picture.
        value_range: Of images with more than 8 bits.
        step: Called after each image.

    Returns:
        Path -> its copy, or None for one that is gone or cannot be read. A path that there is no room for is missing.
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
    """A JPEG decoded at an eighth of its size or so, at least twice `side`; None for anything else."""
    if not content.startswith(b"\xff\xd8\xff"):
        return None
    with contextlib.suppress(Exception), JpegImageFile(io.BytesIO(content)) as file:  # else `decode` says what is wrong
        file.draft(None, (2 * side, 2 * side))
        file.load()
        return ImageOps.exif_transpose(file)
    return None


def thumbnail(image: Image.Image, side: int = SIDE) -> Thumbnail:
    """A copy of `image` as JPEG, at most `side` pixels long. It has no EXIF, comment, profile or other text."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    bare = Image.fromarray(np.asarray(small))  # an image made of an array has nothing but pixels
    content = io.BytesIO()
    bare.save(content, "jpeg", quality=QUALITY, optimize=True)
    address = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
    return Thumbnail(address, *bare.size)
