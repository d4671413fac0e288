"""Reads the facts of each file and measures the appearance of each image, for a check of the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.cache.recipe import Recipe
from harness.cache.store import Cache
from harness.data.appearance import LONG_SIDE, ROW, Appearance, Row, appearance_of, row_of
from harness.data.check import Check, content_of
from harness.data.decode import problem, read
from harness.data.depth import Range, infer_range
from harness.data.file_facts import FileFacts, facts_of
from harness.data.images import Images
from harness.data.pixels import DECODER
from harness.errors import DataError
from harness.util.console import counted
from harness.util.parallel import in_threads

# MD5 of a file -> what `row_of` returned
APPEARANCE = Recipe("checks", "brightness, contrast and blur", {**DECODER, "appearance": 1})


def describe_images(
    images: Images, check: Check, cache: Cache | None = None, value_range: Range | None = None
) -> tuple[list[FileFacts], Appearance]:
    """Reads all files on all cores, with a progress bar on a terminal. Decodes those that are not in `cache`.

    It needs less than 1 kB of memory per image, plus the images that are being decoded.

    Args:
        images: All images, also those that cannot be decoded.
        check: The result of `check_images` for these images.
        cache: Stores the appearance of each image under the MD5 of its file.
        value_range: Pixel values shown as black and as white, for images of more than 8 bits without a declared range.
            None: inferred from the data set.

    Returns:
        (N,) facts, and the columns of the appearance, with NaN for images that cannot be decoded.
    """
    files = images.files()
    known = {} if cache is None else cache.known(APPEARANCE)

    def describe_one(index: int) -> tuple[FileFacts, Row | None]:
        content, _ = content_of(files[index])
        facts = facts_of(content, files[index].name)
        if images.paths[index] in check.problems or not content:
            return facts, None
        if check.hashes[index] in known:
            return facts, known[check.hashes[index]]
        row: Row | None = None

        def measure(content: bytes) -> None:
            nonlocal row
            row = row_of(read(content, LONG_SIDE))

        problem(content, measure)  # leaves row None if the file was damaged after the check
        return facts, row

    facts: list[FileFacts] = []
    rows = np.full((len(images), ROW), np.nan)
    decoded: dict[str, int] = {}  # MD5 -> index of an image with this MD5
    described = in_threads(describe_one, range(len(images)))
    for index, (fact, row) in enumerate(counted(described, len(images), "describing images", "image")):
        facts.append(fact)
        if row is not None:
            rows[index] = row
            decoded[check.hashes[index]] = index
    if cache is not None and not decoded.keys() <= known.keys():
        _keep(cache, rows, decoded)
    return facts, appearance_of(rows, value_range or _range_of(check))


def _keep(cache: Cache, rows: NDArray[np.float64], decoded: dict[str, int]) -> None:
    cache.rows(APPEARANCE, sorted(decoded), lambda items: iter([rows[[decoded[item] for item in items]]]), quiet=True)


def _range_of(check: Check) -> Range | None:
    """The range of the data set's values of more than 8 bits; from the lowest to the highest if it is not clear."""
    depth = check.depth
    if not depth.values:
        return None
    try:
        return infer_range(depth)
    except DataError:
        return (depth.minimum, depth.maximum) if depth.maximum > depth.minimum else (0.0, max(depth.maximum, 1.0))
