"""Finds near copies: an image that was saved again, resized, cropped by a few percent, mirrored, rotated or brightened.

Candidates are pairs whose perceptual hashes (the signs of the lowest frequencies of a DCT; Zauner 2010) differ in few
bits. Many of them only share a layout, such as a bright sky above a dark ground. So each pair is aligned, by trying
small crops of one image, and the correlation of their fine detail is computed. It is near 1 for copies, and near 0 for
two different images of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from harness.data.fine_detail import FEW, Detail, crops, sample_of
from harness.data.sketch import SIDE
from harness.data.turns import TURNS, UNDONE_BY, turned_by
from harness.evaluation.cross_fit import one_thread
from harness.util.parallel import in_threads

T = TypeVar("T")
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

VERSION = 3  # of this algorithm, for the cache
LOW = 8  # frequencies of the hash along each axis
BITS = LOW * LOW - 1  # all of them but the mean brightness
MOST_BITS = 16  # the hashes of a candidate differ in at most this number of bits
MOST_CANDIDATES = 50_000  # candidates compared in detail; in a large data set, hashes must differ in fewer bits
FEWEST_BITS = 6
BITS_OF_MOST = 10  # the hashes of 96 % of planted near copies differ in at most this number of bits
ALWAYS = 0.97  # two images with at least this agreement are always copies
STEP = 0.1  # width of a bin of the distribution of agreements
FALLING = 0.85  # if pairs agree by chance, a bin has fewer than this share of the pairs of the bin before
CHANCE = 5  # a bin with at most this number of pairs says nothing about the distribution
FLAT = 3.0  # standard deviation of the grey values (0 to 255) below which an image shows too little to compare
LEAST_SIDE = 16  # pixels of the shorter side; smaller images are too coarse to compare
ALL_TURNS = 20_000  # in larger data sets, only mirrored copies are searched, not rotated ones
BLOCK = 1024  # images whose hashes are compared at once
CROPPED = 64  # images whose crops are compared at once
STEPS = 100  # of a progress bar


@dataclass(frozen=True)
class NearCopy:
    """Two images that are near copies.

    Attributes:
        first: Index of one image.
        second: Index of the other image, larger than `first`.
        bits: Number of bits, out of `BITS`, in which the perceptual hashes differ.
        agreement: Correlation of the fine detail of the two aligned images, at most 1.
        turn: How one image was mirrored or rotated: a key of `TURNS`.
    """

    first: int
    second: int
    bits: int
    agreement: float
    turn: str


@dataclass(frozen=True)
class NearCopies:
    """Attributes:
    pairs: Ordered by their images.
    is_cut: Whether there were too many similar images to compare all of them in detail.
    """

    pairs: tuple[NearCopy, ...] = ()
    is_cut: bool = False


def find_near_copies(
    sketches: NDArray[np.uint8], step: Callable[[], object] = lambda: None, across: int | None = None
) -> NearCopies:
    """Returns the pairs of near copies.

    Time grows with the square of N, memory with N. The page about data has numbers.

    Args:
        sketches: (N, SIDE, SIDE), made by `sketch_of`. Of several equal images, pass only one.
        step: Called at most `STEPS` times, for a progress bar.
        across: Only pairs between the first `across` images and the others. None: all pairs.
    """
    drawn = np.flatnonzero(_deviations(sketches) >= FLAT)
    if len(drawn) < 2:
        return NearCopies()
    values = sketches if len(drawn) == len(sketches) else sketches[drawn]
    turns = list(TURNS) if len(drawn) <= ALL_TURNS else list(TURNS)[:2]
    sides = None if across is None else int(np.searchsorted(drawn, across))
    with one_thread():  # one thread for each matrix product, because the blocks are computed in parallel
        pairs, bits, turned, is_cut = _candidates(values, turns, step, sides)
        if not len(pairs):
            return NearCopies()
        detail = Detail.learned(values, turns)
        agreed = np.full(len(pairs), -1, np.float32)
        parts = _by_cropped(pairs, turned)
        compared = in_threads(lambda cropped: _agreements(values, cropped, detail), parts)
        for part, values_of_part in _stepping(compared, len(parts), step):
            np.maximum.at(agreed, part, values_of_part)
    limits = least_agreement(bits, detail.knows_the_set)
    limits = np.minimum(limits + margin_of(agreed - limits), ALWAYS)
    near_copies = [
        NearCopy(
            int(drawn[pairs[i, 0]]), int(drawn[pairs[i, 1]]), int(bits[i]), min(1.0, float(agreed[i])), turns[turned[i]]
        )
        for i in np.flatnonzero(agreed >= limits)
    ]
    return NearCopies(tuple(near_copies), is_cut)


def _deviations(sketches: NDArray[np.uint8]) -> Floats:
    """(N,) standard deviation of each sketch. Computed in blocks, because numpy would make 64-bit copies of all."""
    parts = [sketches[start : start + BLOCK].std((1, 2), dtype=np.float32) for start in range(0, len(sketches), BLOCK)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def least_agreement(bits: Indices, knows_the_set: bool) -> NDArray[np.float64]:
    """(P,) the least correlation of detail at which two images are copies. It is higher if more bits differ.

    Planted copies of photographs have 0.74 to 1. If shared patterns are removed, other pairs rarely reach 0.6.
    """
    least: NDArray[np.float64] = 0.015 * bits.astype(np.float64) + (0.55 if knows_the_set else 0.65)
    return least


def margin_of(excess: NDArray[np.float64]) -> float:
    """How much higher than its limit an agreement must be, so that about 1 % of the reported pairs are false.

    It is 0 for most data sets. But simple shapes, such as digits or screenshots of one program, agree by chance. Then
    the number of pairs per bin decreases steadily across the limit. For copies, and for frames of a video, it does not.
    The number of chance pairs above the limit is extrapolated from the two bins of width `STEP` below it, with a
    constant ratio from bin to bin.

    Args:
        excess: (P,) agreements of the candidates minus their limits.
    """
    below, first, second = (int(((excess >= low) & (excess < low + STEP)).sum()) for low in (-STEP, 0.0, STEP))
    if below <= CHANCE or first >= FALLING * below or second >= FALLING * max(first, 1):
        return 0.0
    for margin in np.arange(0, 0.5, 0.02):
        below = int(((excess >= margin - STEP) & (excess < margin)).sum())
        further = int(((excess >= margin - 2 * STEP) & (excess < margin - STEP)).sum())
        ratio = min(below / further, 0.95) if further else 0.0
        by_chance = below * ratio / (1 - ratio)
        if below <= CHANCE or by_chance <= 0.01 * int((excess >= margin).sum()):
            return float(margin)
    return 0.5


def _candidates(
    values: NDArray[np.uint8], turns: Sequence[str], step: Callable[[], object], across: int | None
) -> tuple[Indices, Indices, Indices, bool]:
    """((P, 2) pairs, (P,) bits in which their hashes differ, (P,) turn of the second image, whether some are left out).

    In a large data set, pairs that differ in many bits are left out, and some cropped copies are missed. The last
    value is True only if pairs that differ in `BITS_OF_MOST` bits are left out, too.
    """
    frequencies = _low_frequencies(values)
    centre = _centre(frequencies, turns)
    signs = [_signs(turned_by(frequencies, [turn], are_frequencies=True), centre) for turn in turns]
    kept_parts: list[Indices] = [np.zeros((0, 4), np.int64)]
    counts = np.zeros(MOST_BITS + 1, np.int64)
    most = MOST_BITS
    blocks = _blocks(len(values), across)
    candidates = in_threads(lambda block: _candidates_of(signs, *block, most), blocks)
    for part in _stepping(candidates, len(blocks), step):
        kept_parts.append(part[part[:, 2] <= most])  # the part may have been computed when `most` was larger
        counts += np.bincount(kept_parts[-1][:, 2], minlength=MOST_BITS + 1)
        while most > FEWEST_BITS and counts[: most + 1].sum() > MOST_CANDIDATES:
            most -= 1
            kept_parts = [part[part[:, 2] <= most] for part in kept_parts]
    together = np.concatenate(kept_parts)
    together = together[np.lexsort((together[:, 1], together[:, 0]))]
    is_cut = most < BITS_OF_MOST or len(together) > MOST_CANDIDATES
    if len(together) > MOST_CANDIDATES:  # thousands of images with one layout: keep the most similar pairs
        together = together[np.sort(np.argsort(together[:, 2], kind="stable")[:MOST_CANDIDATES])]
    return together[:, :2], together[:, 2], together[:, 3], is_cut


def _candidates_of(signs: Sequence[Floats], rows: slice, columns: slice, most: int) -> Indices:
    """(P, 4): first image, second image, bits in which their hashes differ, index of the turn of the second one."""
    best = signs[0][rows] @ signs[0][columns].T  # BITS - 2 * the number of bits that differ
    for other in signs[1:]:
        np.maximum(best, signs[0][rows] @ other[columns].T, out=best)
    first, second = np.nonzero(best >= BITS - 2 * most)
    if rows == columns:
        first, second = first[first < second], second[first < second]
    differ = ((BITS - best[first, second]) / 2).astype(np.int64)
    first, second = first + rows.start, second + columns.start
    turn = np.stack([(signs[0][first] * other[second]).sum(1) for other in signs]).argmax(0)
    return np.stack([first, second, differ, turn], 1)


def _by_cropped(pairs: Indices, turned: Indices) -> list[Indices]:
    """Returns lists of rows (cropped image, whole image, turn of the whole image, pair).

    Each pair has two rows, since each image may be a crop of the other. All rows of a cropped image are in one list.
    """
    number = np.arange(len(pairs))
    names = list(TURNS)
    back = np.array([names.index(UNDONE_BY[name]) for name in names])[turned]
    rows = np.concatenate([np.stack([*pairs.T, turned, number], 1), np.stack([*pairs.T[::-1], back, number], 1)])
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = [*np.flatnonzero(np.diff(rows[:, 0], prepend=-1))[::CROPPED].tolist(), len(rows)]
    return [rows[start:end] for start, end in pairwise(starts)]


def _agreements(values: NDArray[np.uint8], rows: Indices, detail: Detail) -> tuple[Indices, Floats]:
    """For R rows of `_by_cropped`: (R,) the pair, and (R,) the largest correlation of detail over all crops."""
    images, starts = np.unique(rows[:, 0], return_index=True)
    cropped = values[images].astype(np.float32)
    # (images, crops, pixels)
    vectors = np.stack([detail.vectors(one @ cropped @ other.T) for one, other in crops()], 1)
    names = list(TURNS)
    whole = detail.vectors(turned_by(values[rows[:, 1]].astype(np.float32), [names[turn] for turn in rows[:, 2]]))
    ends = [*starts[1:], len(rows)]
    best = [(whole[start:end] @ own.T).max(1) for own, start, end in zip(vectors, starts, ends, strict=True)]
    return rows[:, 3], np.concatenate(best)


def _blocks(count: int, across: int | None) -> list[tuple[slice, slice]]:
    """The blocks of a square on and above its diagonal; or its rows before `across` and its columns from `across`."""
    if across is not None:
        return list(product(_parts(0, across), _parts(across, count)))
    parts = _parts(0, count)
    return [(rows, columns) for number, rows in enumerate(parts) for columns in parts[number:]]


def _parts(first: int, end: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, end)) for start in range(first, end, BLOCK)]


def _stepping(items: Iterable[T], count: int, step: Callable[[], object]) -> Iterator[T]:
    """Yields the `count` items, and calls `step` up to `STEPS` / 2 times in between."""
    for number, item in enumerate(items, start=1):
        yield item
        for _ in range(number * STEPS // 2 // count - (number - 1) * STEPS // 2 // count):
            step()


def _low_frequencies(values: NDArray[np.uint8]) -> Floats:
    """(N, LOW, LOW): the lowest frequencies of the discrete cosine transform (type II) of (N, SIDE, SIDE)."""
    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:LOW].astype(np.float32)
    parts = [basis @ values[start : start + BLOCK] @ basis.T for start in range(0, len(values), BLOCK)]
    return np.concatenate(parts)


def _centre(frequencies: Floats, turns: Sequence[str]) -> Floats:
    """(LOW, LOW): the median of each frequency over the data set and its turns; 0 for few images."""
    if len(frequencies) < FEW:
        return np.zeros((LOW, LOW), np.float32)
    some = sample_of(frequencies)
    centre: Floats = np.median(
        np.concatenate([turned_by(some, [turn], are_frequencies=True) for turn in turns]), axis=0
    )
    return centre


def _signs(turned: Floats, centre: Floats) -> Floats:
    """The hash, (N, BITS) of 1 and -1: whether each frequency is above that of `_centre`."""
    flat = (turned - centre).reshape(len(turned), -1)[:, 1:]
    signs: Floats = np.where(flat > 0, np.float32(1), np.float32(-1))
    return signs
