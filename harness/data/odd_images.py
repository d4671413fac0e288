"""Images that are unlike the others of their data set, or of no use: blank, dark, blurred, small, narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.appearance import Appearance
from harness.data.file_facts import FileFacts
from harness.data.images import Images
from harness.util.text import few

# Each kind has a limit and a comparison with the data set: an image must be beyond both. The counts are of the
# 2244 photographs of scenes (100 x 100 pixels, JPEG): none is called so, unless a comment says how many.
BLANK_CONTRAST = 2.0  # grey levels, standard deviation, or a quarter of the median; the photographs have 12 or more
BLANK_RANGE = 16  # grey levels between the darkest and the brightest pixel: stars on black are no blank image
DARK = 64  # grey levels that 99 % of the pixels are below; the lowest of the photographs is 87
BRIGHT = 210  # grey levels, mean, or half of the way from the median to 255; the highest of the photographs is 204
BRIGHT_LOW = 80  # grey levels that 99 % of the pixels of a bright image are above: white paper with text is not bright
# 5 of the photographs (0.2 %), all of them soft, and 11 after JPEG of quality 60. Found: 99.8 % of those blurred by a
# Gaussian of sigma 3 pixels at 224, and 85 to 99.9 % of those moved by 7 of 100 pixels (horizontal, vertical,
# diagonal, 30 degrees).
BLURRED = 0.67
TINY = 32  # pixels of the shorter side: the last feature map of a ResNet then has one cell
AREAS = 16.0  # times the median number of pixels, or a 16th of it: four times the side
NARROW = 3.0  # long side / short side; nearly all cameras and screens stay below
DEVIATIONS = 3.5  # robust standard deviations from the median (Iglewicz and Hoaglin, 1993)
FEWEST = 10  # images; among fewer nothing is usual
COMMON = 0.1  # share of the images: what more of them have is no exception, but a part of the data set
COMMON_IN_CLASS = 0.25  # share of the images of a class, such as pictures of the night
COMMON_BLANK = 0.5

Chosen = tuple[NDArray[np.bool_], Callable[[int], str]]  # (N,) which images, and position -> reason


class Oddity(NamedTuple):
    """An unusual image: its position, the kind of `runs.data_check_record.OddKind`, and why, for people."""

    position: int
    kind: str
    reason: str


def odd_images(
    images: Images, facts: Sequence[FileFacts], appearance: Appearance, problems: Mapping[str, str]
) -> tuple[list[Oddity], list[str]]:
    """Finds the images that cannot be decoded, are blank, or are far from the others of the data set.

    An image can be of several kinds. One that is blank is not called dark, bright or blurred as well, and one that is
    narrow is not called small.

    Args:
        images: All images.
        facts: (N,) those of their files.
        appearance: (N,) numbers of each; NaN for images that cannot be decoded.
        problems: Path -> why it cannot be decoded.

    Returns:
        The images in their order, and notes for people about what is too common to be an exception, and is not listed:
        a kind of more than 10 % of all images or 25 % of the images of a class (of blank images 50 % of all).
    """
    broken = np.array([path in problems for path in images.paths], bool)
    found = [Oddity(int(i), "cannot be decoded", problems[images.paths[i]]) for i in np.flatnonzero(broken)]
    notes: list[str] = []
    for kind, (chosen, reason) in {**_by_appearance(appearance), **_by_size(facts, broken)}.items():
        notes += _leave_out_common(kind, chosen, images, broken)
        found += [Oddity(int(i), kind, reason(int(i))) for i in np.flatnonzero(chosen)]
    return sorted(found, key=lambda odd: odd.position), notes


def _leave_out_common(kind: str, chosen: NDArray[np.bool_], images: Images, broken: NDArray[np.bool_]) -> list[str]:
    """Unmarks in `chosen` what too many images are, of a class or of all. Returns notes that say so."""
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
    """The kinds that are seen in the pixels."""
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
    """The kinds that are a matter of width and height."""
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
    """Which values lie far below the median; False for NaN. `least` is the smallest standard deviation assumed."""
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return np.zeros(len(values), bool)
    middle = np.median(known)
    deviation = max(1.4826 * float(np.median(np.abs(known - middle))), least)  # 1.4826: equal for a normal distribution
    return np.asarray(values < middle - DEVIATIONS * deviation)


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
