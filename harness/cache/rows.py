"""The rows of an entry, in memory or in its file."""

from __future__ import annotations

import json
import mmap
import os
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAPPED = 64 * 2**20  # maximum bytes of a file that is memory-mapped; rows of larger files are read when needed
CHUNK = 1024  # rows that are copied at once


class Rows:
    """Rows by item, of an array in memory or of a file."""

    def __init__(self, items: Sequence[str], take: Callable[[Array], Array]) -> None:
        self._positions = {item: position for position, item in enumerate(items)}
        self._take = take

    def positions(self, items: Iterable[str]) -> list[int]:
        """Returns the positions of the rows of `items`."""
        return [self._positions[item] for item in items]

    def take(self, places: Sequence[int] | Array) -> Array:
        """Returns a copy of the rows at these positions, in that order. Raises OSError if the disk fails."""
        return self._take(np.asarray(places))

    def by_item(self) -> dict[str, Array]:
        """Returns all rows, in memory."""
        rows = self.take(list(self._positions.values()))
        return dict(zip(self._positions, rows, strict=True))

    def chunks(self, items: Sequence[str]) -> Iterator[Array]:
        """Yields the rows of `items` in chunks."""
        for start in range(0, len(items), CHUNK):
            yield self.take(self.positions(items[start : start + CHUNK]))


def in_memory(array: Array) -> Callable[[Array], Array]:
    """Returns a function that takes rows of an array."""
    return lambda places: array[places]


def in_file(file: BinaryIO, shape: Sequence[int], dtype: np.dtype[Any]) -> Callable[[Array], Array]:
    """Returns a function that takes rows of a file with an array of that shape.

    The file may be closed, renamed or removed afterwards. A small file is memory-mapped. For a large file, the system
    would count every touched page as memory of this process. So its rows are read, which is as fast.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    if size <= MAPPED or not hasattr(os, "preadv"):
        return in_memory(np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype).reshape(shape))
    own, row = os.dup(file.fileno()), size // shape[0]

    def read(places: Array) -> Array:
        taken = np.empty((len(places), *shape[1:]), dtype)
        content = taken.reshape(-1).view(np.uint8).data
        for number, place in enumerate(places.tolist()):
            if os.preadv(own, [content[number * row : (number + 1) * row]], place * row) != row:
                raise OSError("a file of the cache has become shorter")
        return taken

    weakref.finalize(read, os.close, own)
    return read


def crc_of_kind(items: Sequence[str], dtype: np.dtype[Any], shape: Sequence[int]) -> int:
    """Returns the CRC-32 of the rows' description. The checksum of an entry begins with it."""
    return zlib.crc32(json.dumps([list(items), dtype.str, list(shape)]).encode())


def crc_of_rest(file: BinaryIO, checksum: int) -> int:
    """Returns the CRC-32 of the rest of a file, continued from `checksum`."""
    while content := file.read(2**20):
        checksum = zlib.crc32(content, checksum)
    return checksum
