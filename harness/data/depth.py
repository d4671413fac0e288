"""Infers the range of pixel values of more than 8 bits, once for a whole data set.

A 16-bit file does not say how many of its bits are used: cameras and scanners write 8, 10, 12, 14 or 16. A range per
image would remove differences in brightness between images, and the classes may differ in just that.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.util.text import see

HIGHS = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
THRESHOLDS = (1, 16, *HIGHS)
RARE = 0.001  # share of the values that may be outside the range, such as hot pixels and burnt-in marks
DARKEST = 1 / 16  # if all floats are below this, a range of 0 to 1 would show them as nearly black

Range = tuple[float, float]  # (the value shown as black, the value shown as white)


@dataclass(frozen=True)
class Depth:
    """Statistics of the pixel values of one or more images. `+` combines them.

    The values of all colour channels are counted. NaN and infinity are not; the caller leaves out alpha.
    """

    values: int = 0
    above: tuple[int, ...] = (0,) * len(THRESHOLDS)  # values above each of THRESHOLDS
    below_zero: int = 0
    fractional: int = 0  # values that are not whole numbers
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @classmethod
    def of(cls, values: NDArray[Any]) -> Depth:
        """Counts the values of one image, of any shape and dtype."""
        fractional = 0
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
            fractional = int(np.count_nonzero(values % 1))
        if not values.size:
            return cls()
        low, high = float(values.min()), float(values.max())
        above = tuple(int(np.count_nonzero(values > limit)) if high > limit else 0 for limit in THRESHOLDS)
        below_zero = int(np.count_nonzero(values < 0)) if low < 0 else 0
        return cls(values.size, above, below_zero, fractional, low, high)

    def __add__(self, other: Depth) -> Depth:
        return Depth(
            self.values + other.values,
            tuple(mine + theirs for mine, theirs in zip(self.above, other.above, strict=True)),
            self.below_zero + other.below_zero,
            self.fractional + other.fractional,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )

    def to_array(self) -> NDArray[np.float64]:
        """The statistics as (12,) float64, exact for whole numbers up to 2^53."""
        values, above, *rest = astuple(self)
        return np.array([values, *above, *rest], np.float64)

    @classmethod
    def from_array(cls, array: NDArray[np.float64]) -> Depth:
        """The inverse of `to_array`."""
        values, *above, below_zero, fractional, minimum, maximum = array.tolist()
        depth = cls(int(values), tuple(map(int, above)), int(below_zero), int(fractional))
        return replace(depth, minimum=minimum, maximum=maximum)


def infer_range(depth: Depth) -> Range:
    """Infers the range of a data set's pixel values: from 0 to 1, 255, 1023, 4095, 16383 or 65535.

    It is the smallest range with at most 0.1 % of the values outside. Whole numbers get the range 0 to 1 only if all
    of them are 0 or 1 (a mask). `depth` must not contain files that declare their largest value.

    Raises:
        DataError: The range depends on the meaning of the values: negative numbers, more than 16 bits, floats whose
            largest is between 1 and 16 (a stretched 0..1, or a physical unit), or only floats below 1/16.
    """
    if not depth.values:
        return 0.0, 255.0
    above = dict(zip(THRESHOLDS, depth.above, strict=True))
    rare = RARE * depth.values
    if depth.below_zero > rare:
        raise _unknown_range(depth, f"{_percent(depth.below_zero / depth.values)} of the values are negative")
    if depth.fractional:
        if depth.maximum < DARKEST:
            raise _unknown_range(depth, "all values are so small that a range of 0 to 1 would show them as black")
        if above[1] <= rare:
            return 0.0, 1.0
        if above[16] <= rare:
            raise _unknown_range(depth, "floats of this size fit neither the range 0 to 1 nor the range 0 to 255")
    elif 0 < depth.maximum <= 1:
        return 0.0, 1.0
    for high in HIGHS:
        if above[high] <= rare:
            return 0.0, float(high)
    raise _unknown_range(depth, f"{_percent(above[65535] / depth.values)} of the values are above 65535")


def clipped(depth: Depth, value_range: Range) -> float:
    """The share of the values that are outside `value_range` and are clipped, from 0 to 1.

    It is exact for an inferred range, and for a range that contains all values. For other ranges it is a lower bound,
    because `depth` only counts the values above its thresholds.
    """
    low, high = value_range
    if not depth.values:
        return 0.0
    beyond = 0
    if high < depth.maximum:
        counts = zip(THRESHOLDS, depth.above, strict=True)
        beyond += next((count for threshold, count in counts if threshold >= high), 1)
    if low > depth.minimum:
        beyond += depth.below_zero if low >= 0 else 1
    return beyond / depth.values


def clipped_text(depth: Depth, value_range: Range) -> str:
    """ "0.4 % of the values are outside 0 to 4095 and are clipped", or "" if none are."""
    share = clipped(depth, value_range)
    low, high = (f"{bound:.6g}" for bound in value_range)
    return f"{_percent(share)} of the values are outside {low} to {high} and are clipped" if share else ""


def _percent(share: float) -> str:
    """Formats a share with two significant digits, so that a few hot pixels are not "0.0 %"."""
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _unknown_range(depth: Depth, why: str) -> DataError:
    low, high = (f"{bound:.9g}" for bound in (depth.minimum, depth.maximum))
    return DataError(
        "the range of the pixel values cannot be inferred",
        f"{why}; the values are from {low} to {high}",
        f"-s value_range={low},{high} (LOW,HIGH: the values shown as black and as white); {see('data')}",
    )
