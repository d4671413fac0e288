"""Near copies: the same picture saved again, resized, cropped by a few percent, mirrored, turned or made brighter.

Candidates are pairs whose perceptual hashes (the signs of the lowest frequencies of a DCT; Zauner 2010) differ in few
bits. Many of them only share a layout, as a bright sky above a dark ground. So each candidate is aligned, by trying
small crops of one image, and the fine detail of the two is correlated: this is near 1 for copies and near 0 for two
pictures of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from harness.data.sketch import SIDE
from harness.util.parallel import in_threads

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

LOW = 8  # frequencies of the hash along each axis
BITS = LOW * LOW - 1  # all of them but the mean brightness
MOST_BITS = 16  # that the hashes of a candidate differ in
MOST_CANDIDATES = 50_000  # that are compared in detail: in a large data set, hashes must differ in fewer bits
FEWEST_BITS = 6
FEW = 50  # images from which can be learned what all have in common
FLAT = 3.0  # standard deviation of the grey values (0 to 255) below which an image shows too little to compare
LEAST_SIDE = 16  # pixels of the shorter side; smaller images are too coarse to compare
SHARED = 10  # patterns that many images share, as a frame or a caption, which are removed before the comparison
SAMPLE = 2000  # images from which these are learned
ALL_TURNS = 20_000  # images up to which turned copies are looked for
SCALES = (1.0, 0.975, 0.95, 0.925, 0.9)  # of the crops that are tried
BLOCK = 1024  # images whose hashes are compared at once
CROPPED = 64  # images whose crops are compared at once

# name -> (rows flipped, columns flipped, transposed), in this order
TURNS = {
    "": (False, False, False),
    "mirrored": (False, True, False),
    "upside down and mirrored": (True, False, False),
    "upside down": (True, True, False),
    "turned and mirrored": (False, False, True),
    "turned by 90°": (False, True, True),
    "turned by 270°": (True, False, True),
    "turned by 270° and mirrored": (True, True, True),
}


@dataclass(frozen=True)
class NearCopy:
    """Two images that show the same picture.

    Attributes:
        first: Index of one image.
        second: Index of the other, larger than `first`.
        bits: Bits of the perceptual hash, of `BITS`, in which they differ.
        agreement: Correlation of the fine detail of the two, once they are aligned, at most 1.
        turn: What was done to one of them: a key of `TURNS`.
    """

    first: int
    second: int
    bits: int
    agreement: float
    turn: str


def find_near_copies(sketches: NDArray[np.uint8], step: Callable[[], object] = lambda: None) -> list[NearCopy]:
    """Returns the pairs of near copies, ordered by their images.

    Args:
        sketches: (N, SIDE, SIDE), as `sketch_of` gives them. Images that are equal should be here once.
        step: Called about a hundred times on the way, for a progress bar.

    Time grows with the square of N, memory with N: see the page about data for figures.
    """
    drawn = np.flatnonzero(sketches.std((1, 2)) >= FLAT)
    if len(drawn) < 2:
        return []
    values = sketches[drawn]
    turns = list(TURNS) if len(drawn) <= ALL_TURNS else list(TURNS)[:2]
    pairs, bits, turned = _candidates(values, turns)
    detail = _Detail.learned(values, turns)

    agreed = np.full(len(pairs), -1, np.float32)
    for part, values_of_part in in_threads(
        lambda cropped: _agreements(values, cropped, detail), _by_cropped(pairs, turned)
    ):
        np.maximum.at(agreed, part, values_of_part)
        step()
    limits = least_agreement(bits, detail.knows_the_set)
    return [
        NearCopy(
            int(drawn[pairs[i, 0]]), int(drawn[pairs[i, 1]]), int(bits[i]), min(1.0, float(agreed[i])), turns[turned[i]]
        )
        for i in np.flatnonzero(agreed >= limits)
    ]


def least_agreement(bits: Indices, knows_the_set: bool) -> NDArray[np.float64]:
    """(P,) correlation of detail from which two images are copies; more is asked of two that differ in more bits.

    Planted copies of photographs have 0.74 to 1. With what all images share removed, other pairs rarely reach 0.6.
    """
    least: NDArray[np.float64] = 0.015 * bits.astype(np.float64) + (0.55 if knows_the_set else 0.65)
    return least


def _candidates(values: NDArray[np.uint8], turns: Sequence[str]) -> tuple[Indices, Indices, Indices]:
    """((P, 2) pairs, (P,) bits in which their hashes differ, (P,) index of the turn of the second image)."""
    frequencies = _low_frequencies(values)
    signs = [_signs(_turned(frequencies, [turn], are_frequencies=True), frequencies, turns) for turn in turns]
    found: list[Indices] = []
    counts = np.zeros(MOST_BITS + 1, np.int64)
    most = MOST_BITS
    for rows, columns in _blocks(len(values)):
        best = signs[0][rows] @ signs[0][columns].T  # BITS - 2 * the number of bits that differ
        for other in signs[1:]:
            np.maximum(best, signs[0][rows] @ other[columns].T, out=best)
        first, second = np.nonzero(best >= BITS - 2 * most)
        if rows == columns:
            first, second = first[first < second], second[first < second]
        differ = ((BITS - best[first, second]) / 2).astype(np.int64)
        first, second = first + rows.start, second + columns.start
        turn = np.stack([(signs[0][first] * other[second]).sum(1) for other in signs]).argmax(0)
        found.append(np.stack([first, second, differ, turn], 1))
        counts += np.bincount(differ, minlength=MOST_BITS + 1)[: MOST_BITS + 1]
        while most > FEWEST_BITS and counts[: most + 1].sum() > MOST_CANDIDATES:
            most -= 1
            found = [part[part[:, 2] <= most] for part in found]
    together = np.concatenate(found)
    together = together[np.lexsort((together[:, 1], together[:, 0]))]
    if len(together) > MOST_CANDIDATES:  # thousands of pictures with one layout: the most alike
        together = together[np.sort(np.argsort(together[:, 2], kind="stable")[:MOST_CANDIDATES])]
    return together[:, :2], together[:, 2], together[:, 3]


def _by_cropped(pairs: Indices, turned: Indices) -> Iterator[Indices]:
    """Yields rows of (cropped image, whole image, turn of the whole one, pair), some cropped images at a time.

    Each pair is there twice, since either image may be a crop of the other. All rows of a cropped image come together.
    """
    number = np.arange(len(pairs))
    back = np.array([0, 1, 2, 3, 4, 6, 5, 7])[turned]  # the turn that undoes it: of 90° by 270°
    rows = np.concatenate([np.stack([*pairs.T, turned, number], 1), np.stack([*pairs.T[::-1], back, number], 1)])
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = [*np.flatnonzero(np.diff(rows[:, 0], prepend=-1))[::CROPPED].tolist(), len(rows)]
    return (rows[start:end] for start, end in pairwise(starts))


def _agreements(values: NDArray[np.uint8], rows: Indices, detail: _Detail) -> tuple[Indices, Floats]:
    """((R,) pair, (R,) the largest correlation of the detail over all crops) of rows of `_by_cropped`."""
    images, starts = np.unique(rows[:, 0], return_index=True)
    cropped = values[images].astype(np.float32)
    crops = np.stack([detail.vectors(one @ cropped @ other.T) for one, other in _crops()], 1)  # (images, crops, pixels)
    names = list(TURNS)
    whole = detail.vectors(_turned(values[rows[:, 1]].astype(np.float32), [names[turn] for turn in rows[:, 2]]))
    ends = [*starts[1:], len(rows)]
    best = [(whole[start:end] @ own.T).max(1) for own, start, end in zip(crops, starts, ends, strict=True)]
    return rows[:, 3], np.concatenate(best)


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    """The blocks of a square on and above its diagonal."""
    parts = [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    return ((rows, columns) for number, rows in enumerate(parts) for columns in parts[number:])


def _low_frequencies(values: NDArray[np.uint8]) -> Floats:
    """(N, LOW, LOW): the lowest frequencies of the discrete cosine transform (type II) of (N, SIDE, SIDE)."""
    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:LOW].astype(np.float32)
    parts = [basis @ values[start : start + BLOCK] @ basis.T for start in range(0, len(values), BLOCK)]
    return np.concatenate(parts)


def _signs(turned: Floats, frequencies: Floats, turns: Sequence[str]) -> Floats:
    """(N, BITS) of 1 and -1: the hash. A frequency is compared with its median over the data set and its turns."""
    centre: Any = 0
    if len(frequencies) >= FEW:
        some = _sample(frequencies)
        centre = np.median(np.concatenate([_turned(some, [turn], are_frequencies=True) for turn in turns]), axis=0)
    flat = (turned - centre).reshape(len(turned), -1)[:, 1:]
    signs: Floats = np.where(flat > 0, np.float32(1), np.float32(-1))
    return signs


def _turned(values: Floats, turns: Sequence[str], are_frequencies: bool = False) -> Floats:
    """(N, S, S) images, or their frequencies, with one turn for all or one for each.

    To flip an image changes the sign of each odd frequency along that axis.
    """
    result = np.empty_like(values)
    for turn in dict.fromkeys(turns):
        rows, columns, transposed = TURNS[turn]
        own = slice(None) if len(turns) == 1 else np.array([each == turn for each in turns])
        part = values[own]
        part = part.transpose(0, 2, 1) if transposed else part
        if are_frequencies:
            odd = np.where(np.arange(part.shape[1]) % 2, np.float32(-1), np.float32(1))
            part = part * (odd[:, None] if rows else 1) * (odd if columns else 1)
        else:
            part = part[:, :: -1 if rows else 1, :: -1 if columns else 1]
        result[own] = part
    return result


class _Detail:
    """The fine detail of images as unit vectors, without what the images of a data set have in common.

    A frame, a caption or a round mask that many images share would make any two of them agree. So each pixel's mean
    and scale over the data set are removed, and the `SHARED` strongest patterns of variation (principal components).
    """

    def __init__(self, mean: Floats, scale: Floats, shared: Floats) -> None:
        self._mean = mean
        self._scale = scale
        self._shared = shared  # (K, pixels), orthonormal

    @property
    def knows_the_set(self) -> bool:
        return len(self._shared) > 0

    @classmethod
    def learned(cls, values: NDArray[np.uint8], turns: Sequence[str]) -> _Detail:
        """Learns from a sample what images have in common; from fewer than `FEW` images, nothing."""
        some = _sample(values).astype(np.float32)
        pixels = (SIDE - 2) ** 2
        if len(some) < FEW:
            return cls(np.zeros(pixels, np.float32), np.ones(pixels, np.float32), np.zeros((0, pixels), np.float32))
        units = np.concatenate([_unit(_fine(_turned(some, [turn]))) for turn in turns])
        mean, scale = units.mean(0), units.std(0)
        scale += 0.3 * np.median(scale) + 1e-6  # a pixel that hardly varies shows noise alone
        centred = (units - mean) / scale
        components = np.linalg.eigh(centred.T @ centred)[1].T[::-1]
        return cls(mean, scale, np.ascontiguousarray(components[: min(SHARED, len(some) // 20)]))

    def vectors(self, values: Floats) -> Floats:
        """(N, pixels) unit vectors of (N, SIDE, SIDE)."""
        own = (_unit(_fine(values)) - self._mean) / self._scale
        return _unit(own - own @ self._shared.T @ self._shared)


def _sample(values: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLE` of them, spread evenly, so that the same images give the same sample."""
    places = np.unique(np.linspace(0, len(values) - 1, SAMPLE).astype(np.int64))
    taken: NDArray[Any] = values[places]
    return taken


def _fine(values: Floats) -> Floats:
    """(N, pixels): each pixel less the mean of the 5 × 5 around it, without the outermost pixels."""
    mean = _box()
    fine = (values - mean @ values @ mean.T)[:, 1:-1, 1:-1]
    flat: Floats = fine.reshape(len(values), -1)
    return flat


def _unit(vectors: Floats) -> Floats:
    """Each row less its mean, with length 1."""
    centred = vectors - vectors.mean(1, keepdims=True)
    scaled: Floats = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return scaled


@cache
def _box() -> Floats:
    """(SIDE, SIDE): the mean of five neighbours; at the ends, the image is reflected."""
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for row, offset in product(range(SIDE), range(-2, 3)):
        place = row + offset
        place = -place - 1 if place < 0 else 2 * SIDE - 1 - place if place >= SIDE else place
        matrix[row, place] += 0.2
    return matrix


@cache
def _crops() -> list[tuple[Floats, Floats]]:
    """(rows, columns) of each crop that is tried: `rows @ image @ columns.T` is the crop, resized to the whole."""
    crops = []
    for scale in SCALES:
        starts = np.linspace(0, 1 - scale, 1 + round((1 - scale) / 0.025))
        axes = [_resampling(scale, float(start)) for start in starts]
        crops += list(product(axes, axes))
    return crops


def _resampling(scale: float, start: float) -> Floats:
    """(SIDE, SIDE): a part of a row of pixels, resized to the whole by linear interpolation; both as shares of it."""
    places = np.clip((np.arange(SIDE) + 0.5) * scale + start * SIDE - 0.5, 0, SIDE - 1)
    left = np.minimum(places.astype(np.int64), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), left] = 1 - (places - left)
    matrix[np.arange(SIDE), left + 1] += places - left
    return matrix
