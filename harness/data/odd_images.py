"""Finds images that differ from the others of their data set or are useless: blank, dark, blurred, small, narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.appearance import Appearance
from harness.data.file_facts import FileFacts
from harness.data.images import Images
from harness.util.text import few

# Each kind has an absolute limit and a comparison with the data set: an image must exceed both. The limits were tested
# on 2244 photographs of scenes (100 x 100 pixels, JPEG). None of them is reported, unless a comment gives a number.
BLANK_CONTRAST = 2.0  # grey levels, standard deviation; or a quarter of the median. The photographs have 12 or more
BLANK_RANGE = 16  # grey levels between the darkest and the brightest pixel: an image of stars on black is not blank
DARK = 64  # grey levels; 99 % of the pixels of a dark image are below. The lowest of the photographs is 87
BRIGHT = 210  # grey levels, mean; or the middle between the median and 255. The highest of the photographs is 204
BRIGHT_LOW = 80  # grey levels; 99 % of the pixels of a bright image are above: white paper with text is not bright
# Reports 5 of the photographs (0.2 %), all slightly blurred, and 11 after JPEG of quality 60. Finds 99.8 % of those
# blurred by a Gaussian (sigma 3 pixels at 224), and 85 to 99.9 % of those moved by 7 of 100 pixels (horizontal,
# vertical, diagonal, 30 degrees).
BLURRED = 0.67
TINY = 32  # pixels of the shorter side: with these, the last feature map of a ResNet has one cell
AREAS = 16.0  # factor between the number of pixels and the median: four times the side
NARROW = 3.0  # long side / short side; nearly all cameras and screens are below
DEVIATIONS = 3.5  # robust standard deviations from the median (Iglewicz and Hoaglin, 1993)
FEWEST = 10  # with fewer images, the data set has no usual values
COMMON = 0.1  # share of the images; a kind that is more common is a part of the data set, not an exception
COMMON_IN_CLASS = 0.25  # share of the images of a class, such as photographs of the night
COMMON_BLANK = 0.5

Chosen = tuple[NDArray[np.bool_], Callable[[int], str]]  # (N,) which images, and position -> reason


class Oddity(NamedTuple):
    """An unusual image: its position, its kind (`runs.data_check_record.OddKind`), and the reason as text."""

    position: int
    kind: str
    reason: str


def odd_images(
    images: Images, facts: Sequence[FileFacts], appearance: Appearance, problems: Mapping[str, str]
) -> tuple[list[Oddity], list[str]]:
    """Finds the images that cannot be decoded, are blank, or are very different from the others of the data set.

    An image can be of several kinds. But a blank image is not also dark, bright or blurred, and a narrow image is not
    also small.

    Args:
        images: All images.
        facts: (N,) the facts of their files.
        appearance: (N,) the measures of each image; NaN for images that cannot be decoded.
        problems: Path -> why it cannot be decoded.

    Returns:
        The unusual images in their order, and notes. A note names a kind that is too common to be an exception: it has
        more than 10 % of all images or 25 % of the images of a class (blank: 50 % of all). Its images are not listed.
    """
    broken = np.array([path in problems for path in images.paths], bool)
    oddities = [Oddity(int(i), "cannot be decoded", problems[images.paths[i]]) for i in np.flatnonzero(broken)]
    notes: list[str] = []
    for kind, (chosen, reason) in {**_by_appearance(appearance), **_by_size(facts, broken)}.items():
        notes += _leave_out_common(kind, chosen, images, broken)
        oddities += [Oddity(int(i), kind, reason(int(i))) for i in np.flatnonzero(chosen)]
    return sorted(oddities, key=lambda odd: odd.position), notes


def _leave_out_common(kind: str, chosen: NDArray[np.bool_], images: Images, broken: NDArray[np.bool_]) -> list[str]:
    """Removes from `chosen` a kind that is too common in a class or in the data set. Returns notes about it."""
    chosen &= ~broken
    labels, classes = np.asarray(images.labels, np.int64), len(images.classes)
    sizes, counts = (np.bincount(labels[those], minlength=classes) for those in (~broken, chosen))
    whole = f"{counts.sum()} of {sizes.sum()} images"
    share = 1 if kind == "blank" else COMMON_IN_CLASS
    common = np.flatnonzero(counts > share * np.maximum(sizes, FEWEST))
    chosen &= ~np.isin(labels, common)
    if chosen.sum() > (COMMON_BLANK if kind == "blank" else COMMON) * max(int(sizes.sum()), FEWEST):
        chosen[:] = False
    elif 0 < len(common) < classes:
        whole = few([f"{counts[label]} of {sizes[label]} images of {images.classes[label]}" for label in common], 3)
    elif not len(common):
        return []
    return [f"{kind}: {whole}, too many to be exceptions, and not listed one by one"]


def _by_appearance(appearance: Appearance) -> dict[str, Chosen]:
    """The kinds that depend on the pixels."""
    brightness, contrast, lowest, low, high, highest, blur = appearance
    blank = (contrast < min(BLANK_CONTRAST, _median(contrast) / 4)) & (highest - lowest <= BLANK_RANGE)
    blank |= highest == lowest
    dark = (high < DARK) & _far_below(high, 8) & ~blank
    bright = (brightness > max(BRIGHT, (255 + _median(brightness)) / 2)) & (low > BRIGHT_LOW) & _far_below(-low, 8)
    bright &= ~blank
    blurred = (blur > BLURRED) & _far_below(-blur, 0.03) & ~blank
    return {
        "blank": (blank, _reason("contrast", contrast, 1)),
        "dark": (dark, _reason("99 % of the pixels are at most", high)),
        "bright": (bright, _reason("mean brightness", brightness)),
        "blurred": (blurred, _reason("blur", blur, 2, "1")),
    }


def _reason(what: str, values: NDArray[np.float64], digits: int = 0, most: str = "255") -> Callable[[int], str]:
    usual = f"{_median(values):.{digits}f}"
    return lambda i: f"{what} {values[i]:.{digits}f} of {most}; median of the data set {usual}"


def _by_size(facts: Sequence[FileFacts], broken: NDArray[np.bool_]) -> dict[str, Chosen]:
    """The kinds that depend on width and height."""
    sizes = np.array([(fact.width, fact.height) for fact in facts], np.float64).reshape(-1, 2)
    sizes[broken | (sizes.min(axis=1) <= 0)] = np.nan
    short, long = sizes.min(axis=1), sizes.max(axis=1)
    area, ratio = np.log(short * long), np.log(long / short)
    narrow = (ratio > np.log(NARROW)) & _far_below(-ratio, 0.1)
    small = (area < _median(area) - np.log(AREAS)) & _far_below(area, 0.1)
    small |= (short < TINY) & (_median(short) >= 2 * TINY)
    large = (area > _median(area) + np.log(AREAS)) & _far_below(-area, 0.1)
    usual = " x ".join(f"{_median(side):.0f}" for side in sizes.T)

    def size(i: int) -> str:
        return f"{facts[i].width} x {facts[i].height} pixels; median of the data set {usual}"

    return {"small": (small & ~narrow, size), "large": (large, size), "narrow": (narrow, size)}


def _far_below(values: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Whether each value is far below the median; False for NaN. `least` is the smallest standard deviation assumed."""
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return np.zeros(len(values), bool)
    middle = np.median(known)
    deviation = max(1.4826 * float(np.median(np.abs(known - middle))), least)  # 1.4826: equal for a normal distribution
    return np.asarray(values < middle - DEVIATIONS * deviation)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
