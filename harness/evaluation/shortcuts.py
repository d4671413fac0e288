"""Tests whether file facts alone, such as format and size, predict the class. They are then a shortcut for a model.

A model can learn such a fact instead of what the images show (Geirhos et al. 2020, Shortcut Learning in Deep Neural
Networks, Nature Machine Intelligence 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.cross_fit import cross_fit_sides, stratified_part
from harness.evaluation.fact_shares import FactShare, fact_shares
from harness.evaluation.fact_values import FactValues, fact_values
from harness.evaluation.groups import accuracy_of, paired_test
from harness.evaluation.scores import Floats, Indices

MOST = 20_000  # maximum number of images for the classifier
FOLDS = 5
LEAVES = (2, 8, 32, 256)  # maximum numbers of leaves of the decision tree, to choose from
LEAF_IMAGES = 5  # minimum number of images in a leaf
CHOICE_IMAGES, CHOICE_FOLDS = 3000, 3  # the number of leaves is chosen on a part of the images
COLUMNS = 50  # maximum number of values of a category for the tree; rarer ones are left out
EFFECT = 0.02  # minimum difference between accuracy and baseline
LEVEL = 0.01  # a smaller p is significant


@dataclass(frozen=True)
class Shortcut:
    """How well file facts predict the classes.

    Attributes:
        facts: Names of the facts that were used; a fact with only one value is not used.
        accuracy: Out-of-fold accuracy of a decision tree on the facts, with its interval.
        baseline: Accuracy of always predicting the most frequent class, on the same images.
        is_found: Whether there is a shortcut.
        values: The values that distinguish a class from the others, the largest difference first.
    """

    facts: tuple[str, ...]
    accuracy: Accuracy
    baseline: float
    is_found: bool
    values: tuple[FactShare, ...]


def find_shortcut(
    facts: Mapping[str, Sequence[object] | Floats | Indices],
    labels: Indices,
    groups: Indices | None = None,
    seed: int = 0,
) -> Shortcut | None:
    """Tests how well file facts predict the class, by a decision tree and value by value.

    There is a shortcut if at least one of these is true:

    - The tree's accuracy is at least 2 points above the baseline, its interval is above the baseline, and the
      difference is significant: p < 0.01 by McNemar's exact test (with groups: by the permutation test of whole
      groups).
    - A value distinguishes a class from the others, see `fact_shares`. This also finds a small class, which hardly
      changes the accuracy.

    The test treats folds as independent. They are not, because they share training images (Bengio and Grandvalet 2004,
    Journal of Machine Learning Research 5). But the baseline is the most frequent class of the test images, which a
    cross-fitted model does not know. So false alarms are rare: none in 2,100 simulated data sets with random facts
    (`scripts/simulate shortcuts`: 40 to 949 images, two or six classes, also unequal ones and copies).

    Use only facts that do not depend on what the image shows. The number of bytes of a JPEG file does depend on it:
    leaves need more bytes than waves. The bytes alone distinguish sea from forest in 86.8 % of 949 photographs.

    Args:
        facts: Name -> column (N,) of hashable values; numbers are put into bins, see `fact_values`.
        labels: (N,) class indices.
        groups: (N,) images with the same number, such as copies, stay in one fold and are not independent; None if all
            are independent.
        seed: Of the folds and of the random sample. At most 20,000 images are used for the tree.

    Returns:
        The result; None if there are fewer than two classes, or fewer than two images or groups.
    """
    rows = stratified_part(labels, np.arange(len(labels)), MOST, seed)
    own = None if groups is None else groups[rows]
    sides = list(cross_fit_sides(labels[rows], own, FOLDS, seed))
    if len(np.unique(labels)) < 2 or not sides:
        return None
    columns = [fact_values(fact, column) for fact, column in facts.items()]
    columns = [column for column in columns if len(column.names) > 1]
    values = fact_shares(columns, labels, groups)
    most_frequent = int(np.bincount(labels[rows]).argmax())
    usual = labels[rows] == most_frequent
    right = usual.copy()
    if columns:
        table = np.concatenate([_table(column, rows) for column in columns], axis=1)
        for training, test in sides:
            tree = _fitted_tree(table[training], labels[rows[training]], None if own is None else own[training], seed)
            right[test] = tree.predict(table[test]) == labels[rows[test]]
    accuracy, baseline = accuracy_of(right, own), float(usual.mean())
    is_clear = accuracy.value - baseline >= EFFECT and accuracy.interval[0] > baseline
    is_better = is_clear and paired_test(right, usual, own) < LEVEL
    names = tuple(column.fact for column in columns)
    return Shortcut(names, accuracy, baseline, is_better or bool(values), tuple(values))


def _table(column: FactValues, rows: Indices) -> NDArray[np.float32]:
    """Returns (n, columns) a fact for the tree: a number as its bin's position, a category as one column per value."""
    codes = column.codes[rows]
    if column.is_number:
        return codes[:, None].astype(np.float32)
    counts = np.bincount(codes, minlength=len(column.names))
    frequent = np.argsort(-counts, kind="stable")[:COLUMNS]
    return np.asarray(codes[:, None] == frequent, np.float32)


def _fitted_tree(table: NDArray[np.float32], labels: Indices, groups: Indices | None, seed: int) -> Any:
    """Returns a tree with the number of leaves that is best in an inner cross-validation; of equal ones, the fewest."""
    rows = stratified_part(labels, np.arange(len(labels)), CHOICE_IMAGES, seed)
    sides = list(cross_fit_sides(labels[rows], None if groups is None else groups[rows], CHOICE_FOLDS, seed))
    best, most = LEAVES[0], -1
    for leaves in LEAVES:
        trees = [_tree(leaves, seed).fit(table[rows[training]], labels[rows[training]]) for training, _ in sides]
        right = sum(
            int((tree.predict(table[rows[test]]) == labels[rows[test]]).sum())
            for tree, (_, test) in zip(trees, sides, strict=True)
        )
        if right > most:
            best, most = leaves, right
    return _tree(best, seed).fit(table, labels)


def _tree(leaves: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=LEAF_IMAGES, random_state=seed)
