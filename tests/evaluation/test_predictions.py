from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.evaluation.accuracy import Accuracy
from harness.evaluation.predictions import Predictions


def made(labels: list[int], tops: list[int], fold: int = 1, first: int = 0) -> Predictions:
    probabilities = np.full((len(labels), 3), 0.1)
    probabilities[np.arange(len(labels)), tops] = 0.8
    paths = tuple(f"{first + i}.jpg" for i in range(len(labels)))
    return Predictions(("a", "b", "c"), paths, np.full(len(labels), fold), np.array(labels), probabilities)


def test_predictions_right_and_accuracy() -> None:
    predictions = made([0, 1, 2, 2], [0, 2, 2, 1])
    assert predictions.predicted.tolist() == [0, 2, 2, 1]
    assert predictions.right.tolist() == [True, False, True, False]
    assert predictions.accuracy == Accuracy(2, 4)
    assert predictions.of_true_class.tolist() == [0.8, 0.1, 0.8, 0.1]


def test_of_fold_returns_the_joined_part() -> None:
    first, second = made([0, 1], [0, 0]), made([2], [2], fold=2, first=2)
    both = Predictions.join([first, second])
    assert both.paths == ("0.jpg", "1.jpg", "2.jpg")
    assert both.of_fold(1) == first
    assert both.of_fold(2) == second
    assert len(both.of_fold(3)) == 0
    assert both != first
    assert made([0], [0]) != made([1], [0])


def test_predictions_refuse_arrays_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="not for the same images"):
        Predictions(("a", "b"), ("1.jpg",), np.ones(1, int), np.zeros(2, int), np.ones((1, 2)))


def test_predictions_none_has_no_images() -> None:
    none = Predictions.none(("a", "b"))
    assert (len(none), none.right.tolist(), none.predicted.tolist()) == (0, [], [])


def test_join_keeps_groups_and_fingerprints_of_all_parts() -> None:
    plain = made([0, 1], [0, 0])
    groups, prints = np.array([0, 0]), np.array([5, 6])
    full = dataclasses.replace(plain, groups=groups, fingerprints=prints)
    both = Predictions.join([full, full.of_fold(1)])
    assert both.groups is not None
    assert both.fingerprints is not None
    assert both.fingerprints.tolist() == [5, 6, 5, 6]
    assert full.accuracy.groups == 1
    assert Predictions.join([full, plain]).groups is None
    assert Predictions.join([full, plain]).fingerprints is None
    assert full != plain
