"""The fine detail of small images. Two aligned images are copies if it is equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.sketch import SIDE
from harness.data.turns import turned_by
from harness.evaluation.sampling import spread_evenly

Floats = NDArray[np.float32]

FEW = 50  # with fewer images, shared patterns cannot be learned
SHARED = 10  # number of shared patterns, such as a frame or a caption, that are removed before the comparison
SAMPLE = 2000  # images from which the patterns are learned
SCALES = (1.0, 0.975, 0.95, 0.925, 0.9)  # scales of the crops to try


class Detail:
    """The fine detail of images as unit vectors, without the patterns that many images of the data set share.

    A shared frame, caption or round mask would make any two images agree. So the mean and the scale of each pixel over
    the data set are removed, and the `SHARED` strongest patterns of variation (principal components).
    """

    def __init__(self, mean: Floats, scale: Floats, shared: Floats) -> None:
        self._mean = mean
        self._scale = scale
        self._shared = shared  # (K, pixels), orthonormal

    @property
    def knows_the_set(self) -> bool:
        return len(self._shared) > 0

    @classmethod
    def learned(cls, values: NDArray[np.uint8], turns: Sequence[str]) -> Detail:
        """Learns the shared patterns from a sample of the images. Learns nothing from fewer than `FEW` images."""
        some = sample_of(values).astype(np.float32)
        pixels = (SIDE - 2) ** 2
        if len(some) < FEW:
            return cls(np.zeros(pixels, np.float32), np.ones(pixels, np.float32), np.zeros((0, pixels), np.float32))
        units = np.concatenate([_unit(_fine(turned_by(some, [turn]))) for turn in turns])
        mean, scale = units.mean(0), units.std(0)
        scale += 0.3 * np.median(scale) + 1e-6  # limits the weight of pixels that show only noise
        centred = (units - mean) / scale
        components = np.linalg.eigh(centred.T @ centred)[1].T[::-1]
        return cls(mean, scale, np.ascontiguousarray(components[: min(SHARED, len(some) // 20)]))

    def vectors(self, values: Floats) -> Floats:
        """Converts images (N, SIDE, SIDE) to unit vectors (N, pixels)."""
        own = (_unit(_fine(values)) - self._mean) / self._scale
        return _unit(own - own @ self._shared.T @ self._shared)


def _fine(values: Floats) -> Floats:
    """(N, pixels): each pixel minus the mean of the 5 × 5 pixels around it, without the outermost pixels."""
    mean = _box()
    fine = (values - mean @ values @ mean.T)[:, 1:-1, 1:-1]
    flat: Floats = fine.reshape(len(values), -1)
    return flat


def _unit(vectors: Floats) -> Floats:
    """Subtracts the mean of each row, and scales the row to length 1."""
    centred = vectors - vectors.mean(1, keepdims=True)
    scaled: Floats = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return scaled


@cache
def _box() -> Floats:
    """(SIDE, SIDE): a matrix that computes the mean of five neighbours; the image is reflected at its edges."""
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for row, offset in product(range(SIDE), range(-2, 3)):
        place = row + offset
        place = -place - 1 if place < 0 else 2 * SIDE - 1 - place if place >= SIDE else place
        matrix[row, place] += 0.2
    return matrix


@cache
def crops() -> list[tuple[Floats, Floats]]:
    """Returns (rows, columns) of each crop to try: `rows @ image @ columns.T` is the crop, resized to the whole."""
    crops = []
    for scale in SCALES:
        starts = np.linspace(0, 1 - scale, 1 + round((1 - scale) / 0.025))
        axes = [_resampling(scale, float(start)) for start in starts]
        crops += list(product(axes, axes))
    return crops


def _resampling(scale: float, start: float) -> Floats:
    """(SIDE, SIDE): a matrix that resizes a part of a row to the whole row. `scale` and `start` are shares of a row."""
    places = np.clip((np.arange(SIDE) + 0.5) * scale + start * SIDE - 0.5, 0, SIDE - 1)
    left = np.minimum(places.astype(np.int64), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), left] = 1 - (places - left)
    matrix[np.arange(SIDE), left + 1] += places - left
    return matrix


def sample_of(values: NDArray[Any]) -> NDArray[Any]:
    """Returns at most `SAMPLE` of the values, evenly spread: the same images always give the same sample."""
    taken: NDArray[Any] = values[spread_evenly(len(values), SAMPLE)]
    return taken
