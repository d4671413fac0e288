"""Splits a large matrix into parts, so that computations on it need little extra memory."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 1 << 20  # values in a part: 8 MB of float64


def blocks(number: int, length: int) -> Iterator[slice]:
    """Yields slices of `number` rows or columns of `length` values each; a slice covers about BLOCK values."""
    step = max(1, BLOCK // max(1, length))
    for start in range(0, number, step):
        yield slice(start, min(start + step, number))
