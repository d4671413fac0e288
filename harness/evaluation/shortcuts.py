"""How well the class can be told from facts of the files alone, such as format and size: a shortcut for a model.

A model can learn such a fact in place of what the images show (Geirhos et al. 2020, Shortcut Learning in Deep Neural
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

MOST = 20_000  # images that the classifier is fitted and judged on
FOLDS = 5
LEAVES = (2, 8, 32, 256)  # greatest numbers of leaves of the decision tree, to choose from
LEAF_IMAGES = 5  # least number of images in a leaf
CHOICE_IMAGES, CHOICE_FOLDS = 3000, 3  # the number of leaves is chosen on a part of the images
COLUMNS = 50  # values of a category that the tree is given; the rarest are left out
EFFECT = 0.02  # least difference between accuracy and baseline that counts
LEVEL = 0.01  # a smaller p is significant


@dataclass(frozen=True)
class Shortcut:
    """How well facts of the files tell the classes.

    Attributes:
        facts: Names of the facts that were used; a fact with one value is not.
        accuracy: Of a decision tree on the facts, out of fold, with its interval.
        baseline: Accuracy of always naming the most frequent class, on the same images.
        is_found: Whether there is a shortcut.
        values: The values that set a class apart, the largest difference first.
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
    """Returns how well the class can be told from facts of the files, by a decision tree and value by value.

    A shortcut is found in one of two ways:

    - The tree is right at least 2 points more often than the baseline, the interval of its accuracy lies above the
      baseline, and the difference is significant: p < 0.01 by McNemar's exact test (of groups: by the permutation test
      of whole groups).
    - A value sets a class apart, see `fact_shares`. So a small class is found too, although the accuracy hardly moves.

    The test takes folds for independent, which they are not: they share training images (Bengio and Grandvalet 2004,
    Journal of Machine Learning Research 5). But the baseline is the most frequent class of the judged images
    themselves, which no cross-fitted model knows. So false alarms are rare: none in 2,100
    simulated data sets whose facts said nothing (`scripts/simulate shortcuts`: 40 to 949 images, two or six classes,
    also unequal ones and copies).

    Only facts that do not depend on what the image shows tell of a shortcut. The number of bytes of a JPEG file is not
    one: leaves need more than waves, and the bytes alone tell sea from forest in 86.8 % of 949 photographs.

    Args:
        facts: Name -> column (N,) of hashable values; numbers are put into bins, see `fact_values`.
        labels: (N,) class indices.
        groups: (N,) images with the same number, such as copies, stay in one fold and do not count as independent; None
            if all are independent.
        seed: Of the folds and of the choice of images. At most 20,000 images are used for the tree.

    Returns:
        None if there are fewer than two classes, or fewer than two images or groups.
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
        for training, judged in sides:
            tree = _fitted_tree(table[training], labels[rows[training]], None if own is None else own[training], seed)
            right[judged] = tree.predict(table[judged]) == labels[rows[judged]]
    accuracy, baseline = accuracy_of(right, own), float(usual.mean())
    is_clear = accuracy.value - baseline >= EFFECT and accuracy.interval[0] > baseline
    is_better = is_clear and paired_test(right, usual, own) < LEVEL
    names = tuple(column.fact for column in columns)
    return Shortcut(names, accuracy, baseline, is_better or bool(values), tuple(values))


def _table(column: FactValues, rows: Indices) -> NDArray[np.float32]:
    """(n, columns) a fact for the tree: a number as the position of its bin, a category as a column for each value."""
    codes = column.codes[rows]
    if column.is_number:
        return codes[:, None].astype(np.float32)
    counts = np.bincount(codes, minlength=len(column.names))
    frequent = np.argsort(-counts, kind="stable")[:COLUMNS]
    return np.asarray(codes[:, None] == frequent, np.float32)


def _fitted_tree(table: NDArray[np.float32], labels: Indices, groups: Indices | None, seed: int) -> Any:
    """A tree whose number of leaves is right most often in an inner cross-validation; the fewest of equal ones."""
    rows = stratified_part(labels, np.arange(len(labels)), CHOICE_IMAGES, seed)
    sides = list(cross_fit_sides(labels[rows], None if groups is None else groups[rows], CHOICE_FOLDS, seed))
    best, most = LEAVES[0], -1
    for leaves in LEAVES:
        trees = [_tree(leaves, seed).fit(table[rows[training]], labels[rows[training]]) for training, _ in sides]
        right = sum(
            int((tree.predict(table[rows[judged]]) == labels[rows[judged]]).sum())
            for tree, (_, judged) in zip(trees, sides, strict=True)
        )
        if right > most:
            best, most = leaves, right
    return _tree(best, seed).fit(table, labels)


def _tree(leaves: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=LEAF_IMAGES, random_state=seed)
