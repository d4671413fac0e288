"""The rows of an entry, in memory or mapped from its file."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RESIDENT = 256 * 2**20  # bytes of a mapped file that count as this process's memory, at most
CHUNK = 1024  # rows that are copied at once


class Rows:
    """Rows by item: an array in memory, or one mapped from a file, of which little is ever resident."""

    def __init__(self, items: Sequence[str], array: Array, mapped: mmap.mmap | None = None) -> None:
        self._places = {item: place for place, item in enumerate(items)}
        self._array = array
        self._mapped = mapped
        self._touched = 0

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    def places(self, items: Iterable[str]) -> list[int]:
        """Where the rows of `items` lie."""
        return [self._places[item] for item in items]

    def take(self, places: Sequence[int] | Array) -> Array:
        """A copy of the rows that lie there, in that order."""
        taken: Array = self._array[np.asarray(places)]
        self._touched += taken.nbytes
        if self._mapped is not None and self._touched > RESIDENT and hasattr(self._mapped, "madvise"):
            self._mapped.madvise(mmap.MADV_DONTNEED)  # the system has them at hand still; they count for nobody
            self._touched = 0
        return taken

    def chunks(self, items: Sequence[str]) -> Iterator[Array]:
        """The rows of `items`, some at a time."""
        for start in range(0, len(items), CHUNK):
            yield self.take(self.places(items[start : start + CHUNK]))
