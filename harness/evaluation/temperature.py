"""Temperature scaling: one number makes a model more or less confident, and does not change its predicted classes.

C. Guo et al. 2017, On Calibration of Modern Neural Networks. It needs no logits, because softmax(log p / T) is
softmax(logits / T). A probability of 0 counts as the smallest normal number, 2e-308.
"""

from __future__ import annotations

import math

import numpy as np

from harness.evaluation.blocks import blocks
from harness.evaluation.scores import Floats, Indices

LEAST, MOST = 0.05, 20.0  # T = 0.05 changes 0.6 and 0.4 to 0.9997 and 0.0003; T = 20 changes 0.999 to 0.59
PRIOR_IMAGES = 1  # weight of T = 1, in images
PARTS = 5
SEED = 0
TINY = float(np.finfo(np.float64).tiny)


def fit_temperature(labels: Indices, probabilities: Floats) -> float:
    """Returns the temperature that minimises the log loss of `scaled` probabilities, from LEAST to MOST.

    The log loss is convex in 1 / T. At its minimum, the mean log-probability that the scaled model expects equals the
    mean log-probability of the true classes.

    One artificial image is added for which T = 1 is best. It changes T by about 1 / N. Without it there is no minimum
    if all predictions are right: T would be LEAST, and the first error on new images would have a log loss of 50 or
    more. With it:

    - All predictions are right, or there is one image: T is between LEAST and 1, and decreases as N grows.
    - All predictions are wrong, or true classes have a probability of 0: T is high, up to MOST.
    - No images, or all probabilities equal, or all of them 0 and 1 and right: T is 1.

    100,000 images of 1,000 classes take 9 to 12 seconds on one core.

    Args:
        labels: (N,) true class indices.
        probabilities: (N, C).
    """
    if not len(labels):
        return 1.0
    from scipy.optimize import brentq

    expected = _expected(probabilities, 1.0)
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    observed = float(np.log(np.maximum(true, TINY)).mean())
    target = (len(labels) * observed + PRIOR_IMAGES * expected) / (len(labels) + PRIOR_IMAGES)
    if math.isclose(expected, target, rel_tol=1e-12, abs_tol=1e-300):
        return 1.0
    bound = LEAST if expected < target else MOST
    if (_surplus(math.log(bound), probabilities, target) < 0) == (expected < target):
        return bound
    low, high = sorted((0.0, math.log(bound)))
    # brentq's wrapper is a reference cycle: with a closure, it would keep the probabilities in memory
    return math.exp(brentq(_surplus, low, high, args=(probabilities, target), xtol=1e-9))


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """Returns softmax(log p / T), (N, C), or the same array if T = 1. The predicted classes do not change.

    A high temperature makes probabilities nearly equal, and rounding could then change the predicted class. In this
    case, the most probable classes get the next larger number.
    """
    if temperature == 1:
        return probabilities
    result = np.empty(probabilities.shape)
    for rows in blocks(*probabilities.shape):
        given = probabilities[rows]
        part = _powers(_logarithms(given), temperature)
        part /= part.sum(1, keepdims=True)
        moved = np.flatnonzero(part.argmax(1) != given.argmax(1))
        for row in moved:
            first = given[row] == given[row].max()
            part[row, first] = np.nextafter(part[row].max(), np.inf)
        result[rows] = part
    return result


def cross_fitted(labels: Indices, probabilities: Floats, folds: Indices, groups: Indices | None = None) -> Floats:
    """Returns probabilities (N, C). Each fold is scaled by the temperature of the other folds.

    So no image influences its own temperature, and metrics of the result are like those of new images. If a group has
    images in several folds, its other images do not influence the temperature either. A single fold is divided into
    PARTS random parts of whole groups, with a fixed seed. A single group is not scaled.

    Args:
        labels: (N,) true class indices.
        probabilities: (N, C).
        folds: (N,) the fold in which each image was validated.
        groups: (N,) the group of each image; None if all images are independent.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    if len(np.unique(folds)) <= 1:
        folds = _parts(groups)
    result = np.empty(probabilities.shape)
    for fold in np.unique(folds):
        chosen = folds == fold
        others = ~np.isin(groups, groups[chosen])
        result[chosen] = scaled(probabilities[chosen], fit_temperature(labels[others], probabilities[others]))
    return result


def _parts(groups: Indices) -> Indices:
    """Returns (N,) the part of each image: PARTS random parts of whole groups, with about equal numbers of images."""
    _, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(SEED).permutation(len(counts))
    middles = np.cumsum(counts[order]) - counts[order] / 2
    parts = np.empty(len(counts), np.int64)
    parts[order] = (middles * PARTS / max(1, len(groups))).astype(np.int64)
    return parts[numbers]


def _surplus(logarithm: float, probabilities: Floats, target: float) -> float:
    return _expected(probabilities, math.exp(logarithm)) - target


def _expected(probabilities: Floats, temperature: float) -> float:
    """Returns the mean of Σ_c q_c log p_c over images, where q are the scaled probabilities."""
    total = 0.0
    for rows in blocks(*probabilities.shape):
        logarithms = _logarithms(probabilities[rows])
        powers = _powers(logarithms, temperature)
        total += float((np.einsum("ij,ij->i", powers, logarithms) / powers.sum(1)).sum())
    return total / len(probabilities)


def _logarithms(probabilities: Floats) -> Floats:
    logarithms: Floats = np.log(np.maximum(probabilities.astype(np.float64), TINY))
    return logarithms


def _powers(logarithms: Floats, temperature: float) -> Floats:
    """Returns p^(1 / T), divided by the largest value of each row."""
    powers: Floats = logarithms - logarithms.max(1, keepdims=True)
    powers /= temperature
    np.exp(powers, out=powers)
    return powers
