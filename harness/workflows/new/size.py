"""Suggests the input size of a model and the way of resizing, from the sizes of the images."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Size = tuple[int, int]  # (height, width) in pixels
SMALL = 64  # pixels; images up to this size are too small for models trained on ImageNet
SMALLEST = 16  # pixels; the least value of `image_size`
FROM_SCRATCH = 128  # pixels; up to this size, images keep their size for a small network
TRAINED_AT = 224  # pixels; the input size at which ImageNet weights were trained
NEAR = 1.15  # aspect ratios that differ by a smaller factor look the same


def large_enough(sizes: Sequence[Size]) -> bool:
    """Whether ImageNet weights are useful: most images are larger than SMALL."""
    return statistics.median(max(size) for size in sizes) > SMALL


def image_size(sizes: Sequence[Size], pretrained: bool) -> tuple[int | Size, str]:
    """Returns a value for `image_size`, and the reason.

    Args:
        sizes: Sizes of the images.
        pretrained: Whether the model starts from ImageNet weights.
    """
    side = round(statistics.median(min(size) for size in sizes))
    if pretrained:
        if side <= (SMALL + TRAINED_AT) / 2:
            return 128, "a larger input would show no more detail, and take longer"
        return TRAINED_AT, "the size that the weights were trained at"
    if len({*sizes}) == 1 and max(sizes[0]) <= FROM_SCRATCH:
        height, width = (max(SMALLEST, each) for each in sizes[0])
        why = "the images keep their size" if (height, width) == sizes[0] else f"{SMALLEST} px is the smallest size"
        return (height if height == width else (height, width)), why
    longer = round(statistics.median(max(size) for size in sizes))
    if longer <= FROM_SCRATCH:
        return max(SMALLEST, longer), "about their size"
    return 96, "enough for a small network, and fast"


def resize(sizes: Sequence[Size], chosen: int | Size) -> tuple[str, str] | None:
    """Returns a value for `resize`, and the reason; None if images hardly change, so that the default is right."""
    height, width = (chosen, chosen) if isinstance(chosen, int) else chosen
    shapes = sorted(w / h * height / width for h, w in sizes)  # 1 if nothing changes
    low, high = shapes[int(0.05 * (len(shapes) - 1))], shapes[int(0.95 * (len(shapes) - 1))]
    if low >= 1 / NEAR and high <= NEAR:
        return None
    if high / low <= NEAR:
        return (
            "squash",
            "all images have about the same aspect ratio, so all change in the same way; nothing is cropped",
        )
    longest = max(high, 1 / low)
    if longest <= 1.6:
        return "crop", "aspect ratios differ: this keeps them, and crops the ends of the longer side"
    return "pad", f"aspect ratios differ, up to {longest:.1f} to 1: this keeps them, and crops nothing"


def sides_text(sizes: Sequence[Size]) -> str:
    """Such as "640 x 480 px", or "320 to 640 px wide and 240 px high"."""
    heights, widths = zip(*sizes, strict=True)
    if len({*sizes}) == 1:
        return f"{widths[0]} x {heights[0]} px"
    return f"{_range(widths)} wide and {_range(heights)} high"


def _range(sides: Sequence[int]) -> str:
    low, high = min(sides), max(sides)
    return f"{low} px" if low == high else f"{low} to {high} px"
