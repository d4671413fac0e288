"""Cross-fitting: folds of whole groups, and a logistic regression for each fold, fitted on the other folds.

`features` have the shape (N, F), `labels` are class indices, (N,). Images with the same number in `groups`, (N,), stay
in one fold; None if all images are independent.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.blocks import blocks
from harness.evaluation.scores import Floats, Indices

Features = NDArray[np.floating]
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # values of C, the inverse of the penalty's weight
FALLBACK = 1e-2  # C if there are no images to choose it with
CHOICE_IMAGES, CHOICE_FOLDS = 3000, 3  # C is chosen on a part of the images
ITERATIONS = 200  # of L-BFGS; a fit that reaches this limit is penalised slightly more


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted logistic regression on standardised features.

    Attributes:
        mean: (F,) means of the features that it was fitted on.
        scale: (F,) their standard deviations; 1 for a constant feature.
        model: The fitted estimator of scikit-learn.
        classes: (C,) the classes that it knows, sorted.
    """

    mean: Features
    scale: Features
    model: Any
    classes: Indices

    def probabilities(self, features: Features, rows: Indices, classes: int) -> NDArray[np.float32]:
        """Returns (n, classes) probabilities of the images at `rows` (n,); 0 for a class that the model lacks."""
        probabilities = np.zeros((len(rows), classes), np.float32)
        for part in blocks(len(rows), max(features.shape[1], classes)):
            probabilities[part, self.classes] = self.model.predict_proba(self._standardised(features, rows[part]))
        return probabilities

    def scores(self, features: Features, rows: Indices) -> Floats:
        """Returns (n,) logits of the second class against the first. The model must know exactly two classes."""
        parts = blocks(len(rows), features.shape[1])
        return np.concatenate([self.model.decision_function(self._standardised(features, rows[p])) for p in parts])

    def _standardised(self, features: Features, rows: Indices) -> Features:
        return _standardise(features[rows], self.mean, self.scale)


def one_thread() -> Any:
    """Returns a context in which matrix products use one thread.

    The products of a fit are small, and two threads took ten times as long as one (100,000 x 512 features, 20 classes:
    148 and 14 seconds, on a machine with other work). With one thread, results also do not depend on the number of
    cores.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def fold_numbers(labels: Indices, groups: Indices | None, folds: int, seed: int) -> Indices:
    """Returns the fold (N,) of each image, from 0. Each class is spread over the folds as evenly as its groups allow.

    A group belongs to its most frequent class. Classes are assigned one after the other, large groups first. Each group
    goes to the fold with the fewest images of its class, and of those to the fold with the fewest images. So a class
    with fewer images than folds needs no exception. `StratifiedGroupKFold` of scikit-learn warns about such a class,
    and may leave a fold empty (scikit-learn issue 33085).

    The result depends only on the arguments. A fold is empty only if there are fewer groups than folds.
    """
    units, kinds, sizes = _units(labels, groups)
    random = np.random.default_rng(seed).permutation(len(kinds))
    order = random[np.lexsort((-sizes[random], kinds[random]))]
    fold_of_unit = np.zeros(len(kinds), np.int64)
    total = [0] * folds
    previous, own = -1, [0] * folds
    for unit, kind, size in zip(order.tolist(), kinds[order].tolist(), sizes[order].tolist(), strict=True):
        if kind != previous:
            previous, own = kind, [0] * folds
        fold = min(range(folds), key=lambda k: (own[k], total[k]))
        fold_of_unit[unit] = fold
        own[fold] += size
        total[fold] += size
    return fold_of_unit[units]


def cross_fit_sides(
    labels: Indices, groups: Indices | None, folds: int, seed: int
) -> Iterator[tuple[Indices, Indices]]:
    """Yields (training, test) positions for each fold that has both. The test positions together are all images."""
    numbers = fold_numbers(labels, groups, folds, seed)
    for fold in range(folds):
        training, test = np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)
        if len(training) and len(test):
            yield training, test


def stratified_part(labels: Indices, rows: Indices, most: int, seed: int) -> Indices:
    """Returns about `most` of the rows (n,), sorted: a random sample with the same fraction of each class.

    It takes at least two images of each class, and all rows if there are at most `most`.
    """
    if len(rows) <= most:
        return rows
    random = np.random.default_rng(seed).permutation(rows)
    order = random[np.argsort(labels[random], kind="stable")]
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    wanted = np.minimum(counts, np.maximum(2, np.rint(counts * (most / len(rows))).astype(np.int64)))
    place = np.arange(len(order)) - np.repeat(starts, counts)
    chosen: Indices = np.sort(order[place < np.repeat(wanted, counts)])
    return chosen


def fit_head(
    features: Features,
    labels: Indices,
    groups: Indices | None,
    rows: Indices,
    seed: int,
    *,
    most: int,
    is_balanced: bool = False,
    strengths: Sequence[float] = STRENGTHS,
) -> Head | None:
    """Fits a logistic regression on the images at `rows`, or on a stratified random part of them.

    C is chosen by the log loss of an inner cross-validation on only these images. Features are standardised.

    Args:
        features: (N, F).
        labels: (N,).
        groups: (N,) images of a group stay in one inner fold; None if all images are independent.
        rows: (n,) positions.
        seed: Of the parts and folds.
        most: Maximum number of images to fit on.
        is_balanced: Whether all classes have the same weight.
        strengths: Values of C to choose from, ascending.

    Returns:
        The model; None if `rows` have only one class.
    """
    rows = stratified_part(labels, rows, most, seed)
    if len(np.unique(labels[rows])) < 2:
        return None
    small = stratified_part(labels, rows, CHOICE_IMAGES, seed + 1)
    strength = _best_strength(features, labels, groups, small, seed, is_balanced, strengths)
    return _fit(features, labels, rows, _model(strength, is_balanced))


def _units(labels: Indices, groups: Indices | None) -> tuple[Indices, Indices, Indices]:
    """Returns (unit of each image (N,), most frequent class of each unit (U,), its number of images (U,))."""
    if groups is None:
        return np.arange(len(labels)), labels, np.ones(len(labels), np.int64)
    unit = np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
    pairs, counts = np.unique(np.stack([unit, labels]), axis=1, return_counts=True)
    by_count = np.lexsort((pairs[1], -counts, pairs[0]))
    first = np.unique(pairs[0][by_count], return_index=True)[1]
    return unit, pairs[1][by_count][first], np.bincount(unit)


def _best_strength(
    features: Features,
    labels: Indices,
    groups: Indices | None,
    rows: Indices,
    seed: int,
    is_balanced: bool,
    strengths: Sequence[float],
) -> float:
    """Returns the C with the lowest out-of-fold log loss. Tries ascending values until the loss rises."""
    own = None if groups is None else groups[rows]
    sides = [
        (rows[training], rows[test])
        for training, test in cross_fit_sides(labels[rows], own, CHOICE_FOLDS, seed)
        if len(np.unique(labels[rows[training]])) > 1
    ]
    models = [_model(strengths[0], is_balanced) for _ in sides]
    best, least = FALLBACK, np.inf
    for strength in strengths:
        pairs = []
        for model, (training, test) in zip(models, sides, strict=True):
            model.set_params(C=strength)  # continues from the fit with the previous C
            pairs.append(_losses(_fit(features, labels, training, model), features, labels, test, is_balanced))
        losses, weights = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0))
        if not len(losses) or np.average(losses, weights=weights) >= least:
            break
        best, least = strength, float(np.average(losses, weights=weights))
    return best


def _losses(head: Head, features: Features, labels: Indices, rows: Indices, is_balanced: bool) -> Floats:
    """Returns (2, n): log loss and weight of each image whose class the model knows."""
    known = rows[np.isin(labels[rows], head.classes)]
    probabilities = head.probabilities(features, known, int(labels.max()) + 1)
    own = probabilities[np.arange(len(known)), labels[known]].astype(np.float64)
    weights = 1 / np.bincount(labels[known])[labels[known]] if is_balanced else np.ones(len(known))
    return np.stack([-np.log(np.maximum(own, 1e-12)), weights])


def _fit(features: Features, labels: Indices, rows: Indices, model: Any) -> Head:
    from sklearn.exceptions import ConvergenceWarning

    chosen = features[rows]
    mean = chosen.mean(0, dtype=np.float64).astype(chosen.dtype)
    spread = chosen.std(0, dtype=np.float64)
    is_constant = spread <= 1e-6 * np.abs(mean)  # rounding errors of 32-bit features are not information
    scale = np.where(is_constant, np.inf, spread).astype(chosen.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_standardise(chosen, mean, scale), labels[rows])
    return Head(mean, scale, model, np.asarray(model.classes_))


def _standardise(features: Features, mean: Features, scale: Features) -> Features:
    features = features - mean
    features /= scale
    return features


def _model(strength: float, is_balanced: bool) -> Any:
    from sklearn.linear_model import LogisticRegression

    weights = "balanced" if is_balanced else None
    return LogisticRegression(C=strength, class_weight=weights, max_iter=ITERATIONS, warm_start=True)
