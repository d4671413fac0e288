"""Pairs of images that probably show the same scene: their features are far closer than those of other neighbours.

`features` are (N, F), one row per image. The cosine of two images is not enough, because typical cosines depend on the
network and on the data. So the distance (1 - cosine of the centred features) is divided by the typical distance to a
neighbour: the geometric mean, over the two images, of the mean distance to their 2nd to 6th nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.sampling import spread_evenly

Features = NDArray[np.float32]
Indices = NDArray[np.int64]

RATIO = 0.42  # of 2,244 photographs, 14 pairs that are not copies are as close; 10 of them show the same scene
MIRRORED = 0.12  # median ratio to the mirror image: 0.07 for a network of ImageNet, 0.2 to 0.3 for one of 4 classes
NEIGHBOURS = 5  # after the nearest one
FEWEST = 50  # minimum number of images: with fewer, there is no typical distance
DIMENSIONS = 128  # principal components of the features; they preserve the distances
SAMPLE = 5000  # images to compute the principal components
BLOCK = 1024  # images whose distances are computed at once


@dataclass(frozen=True)
class SameScene:
    """Two images, given by their positions, with the cosine of their features and the ratio of their distance."""

    first: int
    second: int
    cosine: float
    ratio: float


def find_same_scenes(
    features: Features, sample: Indices, mirrored: Features, step: Callable[[], object] = lambda: None
) -> list[SameScene] | None:
    """Returns the pairs, the closest first; None if the features cannot distinguish scenes.

    They can if an image is much closer to its mirror image than to its neighbours. This is true for networks trained on
    ImageNet. It is not true for a network that was trained only to distinguish a few classes.

    Args:
        features: (N, F) of the images; each copied image should occur once.
        sample: (S,) positions of the images whose mirror images are in `mirrored`.
        mirrored: (S, F) features of these mirror images.
        step: Called for each block of images.
    """
    if len(features) < FEWEST:
        return None
    mean, axes = _axes(features)
    units, mirror_units = _units(features, mean, axes), _units(mirrored, mean, axes)
    usual = np.empty(len(units), np.float32)
    nearest: list[tuple[NDArray[np.float32], Indices]] = []
    for start in range(0, len(units), BLOCK):
        distances = 1 - units[start : start + BLOCK] @ units.T
        distances[np.arange(len(distances)), np.arange(start, start + len(distances))] = np.inf
        closest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1]
        values = np.take_along_axis(distances, closest, 1)
        order = values.argsort(1)
        values, closest = np.take_along_axis(values, order, 1), np.take_along_axis(closest, order, 1)
        usual[start : start + BLOCK] = values[:, 1:].mean(1)
        nearest.append((values, closest))
        step()
    usual = np.maximum(usual, 1e-6)
    own = (1 - (mirror_units * units[sample]).sum(1)) / usual[sample]
    if float(np.median(own)) > MIRRORED:
        return None
    values = np.concatenate([each for each, _ in nearest])
    closest = np.concatenate([each for _, each in nearest])
    ratios = np.maximum(values, 0) / np.sqrt(usual[:, None] * usual[closest])
    pairs: dict[tuple[int, int], SameScene] = {}
    for i, place in np.argwhere(ratios <= RATIO).tolist():
        j = int(closest[i, place])
        pair = (min(i, j), max(i, j))
        pairs[pair] = SameScene(*pair, float(1 - values[i, place]), float(ratios[i, place]))
    return sorted(pairs.values(), key=lambda pair: (pair.ratio, pair.first, pair.second))


def _axes(features: Features) -> tuple[Features, Features]:
    """Returns ((F,) mean, (F, D) principal axes) of a sample."""
    some = features[spread_evenly(len(features), SAMPLE)]
    mean = some.mean(0)
    centred = some - mean
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :DIMENSIONS]
    return mean, np.ascontiguousarray(axes)


def _units(features: Features, mean: Features, axes: Features) -> Features:
    """Returns (N, D) rows of length 1."""
    parts = [(features[start : start + BLOCK] - mean) @ axes for start in range(0, len(features), BLOCK)]
    reduced = np.concatenate(parts)
    units: Features = reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-6)
    return units
