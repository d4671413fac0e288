from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.accuracy import Accuracy, paired_exact_test
from harness.evaluation.predictions import Pair, Predictions, compare


def made(labels: list[int], tops: list[int], fold: int = 1, first: int = 0) -> Predictions:
    probabilities = np.full((len(labels), 3), 0.1)
    probabilities[np.arange(len(labels)), tops] = 0.8
    paths = tuple(f"{first + i}.jpg" for i in range(len(labels)))
    return Predictions(("a", "b", "c"), paths, np.full(len(labels), fold), np.array(labels), probabilities)


def test_predictions_count_what_is_right() -> None:
    predictions = made([0, 1, 2, 2], [0, 2, 2, 1])
    assert predictions.predicted.tolist() == [0, 2, 2, 1]
    assert predictions.right.tolist() == [True, False, True, False]
    assert predictions.accuracy == Accuracy(2, 4)
    assert predictions.of_true_class.tolist() == [0.8, 0.1, 0.8, 0.1]


def test_predictions_of_a_fold_are_those_that_were_joined() -> None:
    first, second = made([0, 1], [0, 0]), made([2], [2], fold=2, first=2)
    both = Predictions.join([first, second])
    assert both.paths == ("0.jpg", "1.jpg", "2.jpg")
    assert both.of_fold(1) == first
    assert both.of_fold(2) == second
    assert len(both.of_fold(3)) == 0
    assert both != first
    assert made([0], [0]) != made([1], [0])


def test_predictions_refuse_arrays_of_other_images() -> None:
    with pytest.raises(ValueError, match="not of the same images"):
        Predictions(("a", "b"), ("1.jpg",), np.ones(1, int), np.zeros(2, int), np.ones((1, 2)))


def test_predictions_of_no_image_have_no_right_ones() -> None:
    none = Predictions.none(("a", "b"))
    assert (len(none), none.right.tolist(), none.predicted.tolist()) == (0, [], [])


def test_compare_counts_images_that_both_predict() -> None:
    first = made([0, 0, 0, 0], [0, 0, 1, 1])
    second = made([0, 0, 0], [1, 0, 0], first=1)  # 1.jpg wrong, 2.jpg and 3.jpg right
    assert compare(first, second) == Pair(1, 2, 1.0)


def test_compare_matches_by_path_and_counts_groups() -> None:
    def predictions(right: str, groups: list[int] | None) -> Predictions:
        probabilities = np.array([[0.9, 0.1] if letter == "+" else [0.1, 0.9] for letter in right])
        paths, zeros = tuple(f"{i}.jpg" for i in range(len(right))), np.zeros(len(right), np.int64)
        numbers = None if groups is None else np.array(groups)
        return Predictions(("a", "b"), paths, zeros, zeros, probabilities, numbers)

    first, second = predictions("++++++--", None), predictions("------+-", None)
    assert compare(first, second) == Pair(6, 1, paired_exact_test(6, 1))
    grouped = predictions("++++++--", [0, 0, 0, 0, 0, 0, 1, 2])
    assert compare(grouped, second) == Pair(6, 1, 1.0)
    assert grouped.accuracy.groups == 3
    assert Predictions.join([grouped.of_fold(0), grouped]).groups is not None
    assert Predictions.join([grouped, first]).groups is None
    assert grouped != first
