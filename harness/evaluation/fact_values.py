"""File facts as numbered values: categories, or bins of numbers with a name, such as "640 to 800"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from harness.evaluation.scores import Floats, Indices

BINS = 10  # a bin of numbers ends when it holds 1 / BINS of the images
FREQUENT = 0.05  # a number that at least this fraction of the images has gets its own bin, such as a common width
UNKNOWN = "none"  # name of a missing value


@dataclass(frozen=True, eq=False)
class FactValues:
    """The values of one fact.

    Attributes:
        fact: Its name, such as "format".
        names: (V,) names of its values; numbers in ascending order.
        codes: (N,) position in `names` of each image's value.
        is_number: Whether the values are ordered.
    """

    fact: str
    names: tuple[str, ...]
    codes: Indices
    is_number: bool


def fact_values(fact: str, column: Sequence[object] | Floats | Indices) -> FactValues:
    """Returns the value of a fact, a property of image files, for each image.

    Numbers are put into bins of about a tenth of the images each. A frequent number, such as the width of one camera's
    images, has its own bin. A column is numeric if all its known values are numbers and none is a boolean. None, NaN
    and the empty string are unknown.

    Args:
        fact: Its name.
        column: (N,) hashable values.
    """
    items = column.tolist() if isinstance(column, np.ndarray) else column
    values = [None if _is_unknown(value) else value for value in items]
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, Real) and not isinstance(value, bool) for value in known):
        return _numbers(fact, np.array([np.nan if value is None else value for value in values], np.float64))
    names, codes = np.unique([UNKNOWN if value is None else str(value) for value in values], return_inverse=True)
    return FactValues(fact, tuple(names.tolist()), codes.reshape(-1).astype(np.int64), False)


def _is_unknown(value: object) -> bool:
    return value is None or value == "" or value != value


def _numbers(fact: str, column: Floats) -> FactValues:
    """Returns the bins of numbers; the unknown value is the last one."""
    numbers, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    is_alone = (counts >= FREQUENT * len(column)) | np.isnan(numbers)
    bin_of, size = np.zeros(len(numbers), np.int64), 0
    for i in range(1, len(numbers)):
        size += int(counts[i - 1])
        if is_alone[i] or is_alone[i - 1] or size + counts[i] > len(column) / BINS:
            bin_of[i], size = bin_of[i - 1] + 1, 0
        else:
            bin_of[i] = bin_of[i - 1]
    names = []
    for k in range(int(bin_of[-1]) + 1):
        own = numbers[bin_of == k]
        low, high = _text(float(own[0])), _text(float(own[-1]))
        names.append(low if low == high else f"{low} to {high}")
    return FactValues(fact, tuple(names), bin_of[places.reshape(-1)], True)


def _text(number: float) -> str:
    if np.isnan(number):
        return UNKNOWN
    return str(int(number)) if number.is_integer() else f"{number:.4g}"
