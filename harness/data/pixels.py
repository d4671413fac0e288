"""Stores decoded and resized 8-bit images: in memory if they fit, or else in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.cache.recipe import Recipe
from harness.cache.rows import Rows
from harness.cache.store import Cache
from harness.data.decode import Raw
from harness.data.images import Images
from harness.data.prepare import Preparation
from harness.errors import DataError
from harness.util.files import md5_of
from harness.util.parallel import in_threads
from harness.util.text import size_text

Bytes = NDArray[np.uint8]

MEMORY = 256 * 2**20  # bytes of decoded images to hold in memory: 1,783 images of 224 px
AT_ONCE = 256  # images that are decoded before they are written
DECODER = {"pillow": metadata.version("pillow"), "decoder": 2}  # the pixels depend on these and on the file's bytes


class Pixels:
    """The pixels of the images of a listing, (H, W, C) uint8 each. `hashes` are the MD5s of their files.

    An image is decoded when it is first used. It stays in memory if all images fit in `memory` bytes. If they do not,
    images are decoded again in each use, unless `keep_in` stores them on disk.
    """

    def __init__(self, images: Images, hashes: Sequence[str], preparation: Preparation, memory: int = MEMORY) -> None:
        self.images = images
        self.hashes = tuple(hashes)
        self.preparation = preparation
        channels, height, width = preparation.shape
        shape = (len(images), height, width, channels)
        self._held: Bytes | None = np.empty(shape, np.uint8) if np.prod(shape) <= memory else None
        self._here = np.zeros(len(images), bool)  # whether each image in memory is decoded
        self._kept: Rows | None = None

    @property
    def held(self) -> bool:
        """Whether all images fit in memory."""
        return self._held is not None

    def put(self, index: int, raw: Raw) -> None:
        """Stores an image in memory, if all fit and the range of its values is known."""
        if self._held is not None and not self.preparation.needs_range(raw):
            self._held[index] = self.preparation.array(self.preparation.picture(raw))
            self._here[index] = True

    def take(self, indices: Sequence[int]) -> Tensor:
        """Returns a copy of these images, (B, C, H, W) uint8, channels last in memory.

        Raises DataError if a file was removed or changed.
        """
        if self._kept is not None:
            rows = self._kept.take(self._kept.positions(self.hashes[i] for i in indices))
        elif self._held is not None:
            self._fill(self._held, indices)
            rows = self._held[np.asarray(indices)]
        else:
            rows = np.stack(list(in_threads(self._decode, indices)))
        return torch.from_numpy(rows).permute(0, 3, 1, 2)

    def keep_in(self, cache: Cache | None, indices: Sequence[int]) -> None:
        """Stores these images in memory if all fit, or else in `cache`, if it is not None."""
        if self._held is not None:
            self._fill(self._held, indices)
        elif cache is not None:
            recipe = Recipe(
                "images", f"images at {size_text(self.preparation.image_size)}", DECODER | self.preparation.to_dict()
            )
            self._kept = cache.rows(recipe, [self.hashes[i] for i in indices], self._make)

    def without(self, paths: Iterable[str]) -> Pixels:
        """The pixels of the listing without `paths`."""
        dropped = set(paths)
        left = [i for i, path in enumerate(self.images.paths) if path not in dropped]
        rest = Pixels(self.images.without(dropped), [self.hashes[i] for i in left], self.preparation, memory=0)
        rest._here = self._here[left]
        rest._held = None if self._held is None else self._held[left]
        return rest

    def _fill(self, held: Bytes, indices: Sequence[int]) -> None:
        """Decodes the images that are not in memory yet."""
        missing = [i for i in indices if not self._here[i]]
        for index, image in zip(missing, in_threads(self._decode, missing), strict=True):
            held[index] = image
            self._here[index] = True

    def _make(self, hashes: Sequence[str]) -> Iterator[Bytes]:
        places = {md5: i for i, md5 in enumerate(self.hashes)}
        for start in range(0, len(hashes), AT_ONCE):
            yield np.stack(list(in_threads(self._decode, [places[md5] for md5 in hashes[start : start + AT_ONCE]])))

    def _decode(self, index: int) -> Bytes:
        path = self.images.file(self.images.paths[index])
        fix = "do not change the images during a run"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read any more", str(error.strerror), fix) from error
        if md5_of(content) != self.hashes[index]:
            raise DataError(f"{path} has changed", "its bytes are different from those at the start of the run", fix)
        return self.preparation.decode(content)
