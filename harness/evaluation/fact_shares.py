"""Finds values of file facts that are far more or far less frequent in one class than in the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.evaluation.fact_values import FactValues
from harness.evaluation.scores import Floats, Indices

DIFFERENCE = 0.3  # minimum difference between the fraction in a class and in the others
LEVEL = 0.01  # a smaller p, corrected for all comparisons, is significant
LISTED = 20
MOST_VALUES = 1000  # of a fact; rarer values are not compared
FEWEST = 5  # minimum number of images of a value, and of a class


@dataclass(frozen=True)
class FactShare:
    """A value that is far more or far less frequent in one class than in the others.

    Attributes:
        fact: Name of the fact.
        value: Name of the value; for a number, its bin.
        label: Index of the class.
        of_class: (images with that value, images) of the class; a group counts as one image.
        of_others: The same for all other classes.
        p: Two-sided, by Fisher's exact test, corrected for all comparisons.
    """

    fact: str
    value: str
    label: int
    of_class: tuple[int, int]
    of_others: tuple[int, int]
    p: float

    @property
    def difference(self) -> float:
        """Fraction in the class minus fraction in the others."""
        return self.of_class[0] / self.of_class[1] - self.of_others[0] / self.of_others[1]


def fact_shares(columns: Sequence[FactValues], labels: Indices, groups: Indices | None = None) -> list[FactShare]:
    """Returns the values that distinguish a class from the others, the largest difference first, at most 20.

    A value is listed if its fraction in the class is at least 30 points above or below that in all others, and the
    difference is significant: p < 0.01 by Fisher's exact test (1935), times the number of comparisons (Bonferroni). The
    two-sided p is twice the smaller tail (Agresti 2013, Categorical Data Analysis, 3.5). Every value is compared in
    every class, if both have at least five images.

    A fraction below that of the others is left out if it gives no new information: with two classes, or if another
    value of the fact is listed as more frequent in the class.

    Args:
        columns: Facts.
        labels: (N,) class indices.
        groups: (N,) of the images of a class with the same number, only the first counts. None if all are independent.
    """
    rows = _first_of_each_group(labels, groups)
    kinds, own = np.unique(labels[rows], return_inverse=True)
    own = own.reshape(-1)
    candidates: list[FactShare] = []
    comparisons = 0
    for column in columns:
        compared, large = _compared(column, own, kinds, column.codes[rows])
        comparisons += compared
        candidates += large
    shares = [replace(each, p=min(1.0, each.p * comparisons)) for each in candidates]
    shares = [each for each in shares if each.p < LEVEL]
    above = {(each.fact, each.label) for each in shares if each.difference > 0}
    shares = [each for each in shares if each.difference > 0 or (each.fact, each.label) not in above]
    return sorted(shares, key=lambda each: (-abs(each.difference), each.p))[:LISTED]


def _first_of_each_group(labels: Indices, groups: Indices | None) -> Indices:
    if groups is None:
        return np.arange(len(labels))
    return np.sort(np.unique(np.stack([groups, labels]), axis=1, return_index=True)[1])


def _compared(column: FactValues, own: Indices, kinds: Indices, codes: Indices) -> tuple[int, list[FactShare]]:
    """Returns (number of comparisons, those with a large difference). Their p is not corrected.

    Args:
        column: A fact.
        own: (n,) position of each image's class in `kinds`.
        kinds: (K,) the classes.
        codes: (n,) value of each image.
    """
    totals = np.bincount(codes, minlength=len(column.names))
    values = np.argsort(-totals, kind="stable")[:MOST_VALUES]
    values = values[totals[values] >= FEWEST]
    place = np.full(len(column.names), -1)
    place[values] = np.arange(len(values))
    is_counted = place[codes] >= 0
    table = np.zeros((len(values), len(kinds)), np.int64)
    np.add.at(table, (place[codes[is_counted]], own[is_counted]), 1)
    sizes, totals = np.bincount(own, minlength=len(kinds)), totals[values]
    others = len(own) - sizes
    gaps = table / sizes - (totals[:, None] - table) / np.maximum(others, 1)
    is_large = (np.abs(gaps) >= DIFFERENCE) & (sizes >= FEWEST) & ((gaps > 0) | (len(kinds) > 2))
    places = np.argwhere(is_large & (others > 0))
    large = [
        FactShare(
            column.fact,
            column.names[int(values[v])],
            int(kinds[k]),
            (int(table[v, k]), int(sizes[k])),
            (int(totals[v] - table[v, k]), int(others[k])),
            p,
        )
        for (v, k), p in zip(places.tolist(), _fisher(table, sizes, totals, len(own), places).tolist(), strict=True)
    ]
    return len(values) * int((sizes >= FEWEST).sum()), large


def _fisher(table: Indices, sizes: Indices, totals: Indices, number: int, places: Indices) -> Floats:
    """Returns (P,) the two-sided p of Fisher's exact test at the places (P, 2) of a table of values and classes."""
    from scipy.stats import hypergeom

    rows, columns = places.T
    counts = table[rows, columns]
    given = (number, totals[rows], sizes[columns])
    tails = np.minimum(hypergeom.cdf(counts, *given), hypergeom.sf(counts - 1, *given))
    return np.asarray(np.minimum(1.0, 2 * tails), np.float64)
