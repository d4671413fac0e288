from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from harness.evaluation.label_suspects import find_label_suspects, rank_by_label
from harness.evaluation.scores import Floats, Indices


def made(n: int, classes: int, flips: float, seed: int) -> tuple[Indices, Indices, Floats]:
    """Returns (true labels, given labels, probabilities) of N images. Some given labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 5
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    is_flipped = rng.random(n) < flips
    given = np.where(is_flipped, (truth + rng.integers(1, classes, n)) % classes, truth)
    return truth, given, probabilities


def by_loops(labels: Indices, probabilities: Floats) -> list[tuple[int, int]]:
    """Returns (image, likely class) by the published rule, in loops; the least probable label first."""
    classes = range(probabilities.shape[1])
    thresholds = {k: probabilities[labels == k, k].mean() for k in classes if (labels == k).any()}
    found = []
    for i, row in enumerate(probabilities):
        others = [k for k in thresholds if k != labels[i] and row[k] >= thresholds[k] and row[k] > row[labels[i]]]
        if others:
            found.append((float(row[labels[i]]), i, max(others, key=lambda k: row[k])))
    return [(i, k) for _, i, k in sorted(found)]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_find_label_suspects_returns_the_number_of_the_published_rule(classes: int) -> None:
    _, labels, probabilities = made(400, classes, 0.1, classes)
    suspects = find_label_suspects(labels, probabilities)
    assert len(suspects) == len(by_loops(labels, probabilities))
    rivalled = [i for i in rank_by_label(labels, probabilities).tolist() if probabilities[i].argmax() != labels[i]]
    assert suspects.indices.tolist() == rivalled[: len(suspects)]
    assert suspects.likely.tolist() == probabilities[suspects.indices].argmax(1).tolist()
    assert np.array_equal(suspects.given_probability, probabilities[suspects.indices, labels[suspects.indices]])
    assert np.array_equal(suspects.likely_probability, probabilities[suspects.indices, suspects.likely])
    assert len(suspects) > 20


def test_find_label_suspects_finds_flipped_labels_and_their_class() -> None:
    truth, labels, probabilities = made(2000, 5, 0.03, 0)
    suspects = find_label_suspects(labels, probabilities)
    flipped = np.flatnonzero(truth != labels)
    assert len(np.intersect1d(suspects.indices, flipped)) > 0.7 * len(flipped)
    right = suspects.indices[truth[suspects.indices] != labels[suspects.indices]]
    assert (suspects.likely[np.isin(suspects.indices, right)] == truth[right]).mean() > 0.9


def test_find_label_suspects_allows_for_a_less_certain_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    sure_of_1 = np.array(
        [0.1, 0.2, 0.45, 0.6, 0.95, 0.95]
    )  # for class 1, 0.6 is below the mean 0.83; 0.55 does not reach 0.75
    probabilities = np.stack([1 - sure_of_1, sure_of_1], axis=1)
    assert len(find_label_suspects(labels, probabilities)) == 0
    probabilities[0] = [0.1, 0.9]
    suspects = find_label_suspects(labels, probabilities)
    assert suspects.indices.tolist() == [0]
    assert suspects.likely.tolist() == [1]


def test_find_label_suspects_ignores_a_class_without_images() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]])
    assert len(find_label_suspects(labels, probabilities)) == 0


def test_find_label_suspects_accepts_fewer_classes_than_columns() -> None:
    # cleanlab issue 288: thresholds of two classes failed with probabilities of three
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.1, 0.7, 0.2], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.8, 0.1, 0.1]])
    suspects = find_label_suspects(labels, probabilities)
    assert suspects.indices.tolist() == [0, 1, 3, 2]
    assert suspects.likely.tolist() == [1, 1, 0, 0]
    one = find_label_suspects(np.array([0, 0]), np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert len(one) == 0


def test_find_label_suspects_works_for_a_class_of_one_image() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    suspects = find_label_suspects(labels, probabilities)
    assert suspects.indices.tolist() == [2, 3]
    assert suspects.likely.tolist() == [1, 0]


def test_find_label_suspects_leaves_out_ties_and_rows_with_nan() -> None:
    labels = np.array([0, 1, 0, 1])
    assert len(find_label_suspects(labels, np.full((4, 2), 0.5))) == 0
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.05, 0.95], [np.nan, np.nan]])
    assert find_label_suspects(labels, probabilities).indices.tolist() == [2]


def test_find_label_suspects_keeps_the_order_of_equal_images() -> None:
    labels = np.array([0, 0, 0, 0, 1, 2])
    probabilities = np.zeros((6, 3))
    probabilities[:2] = [1, 0, 0]
    probabilities[2:4] = [0.2, 0.4, 0.4]
    probabilities[4] = [0.2, 0.4, 0.4]
    probabilities[5] = [0.2, 0.4, 0.4]
    suspects = find_label_suspects(labels, probabilities)
    assert suspects.indices.tolist() == [2, 3]
    assert suspects.likely.tolist() == [1, 1]


def test_find_label_suspects_accepts_no_images() -> None:
    assert len(find_label_suspects(np.zeros(0, np.int64), np.zeros((0, 3), np.float32))) == 0


def test_find_label_suspects_is_the_same_for_32_bits() -> None:
    _, labels, probabilities = made(1000, 4, 0.05, 3)
    wide, narrow = (find_label_suspects(labels, p) for p in (probabilities, probabilities.astype(np.float32)))
    assert wide.indices.tolist() == narrow.indices.tolist()


def test_find_label_suspects_needs_little_memory() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((20_000, 1000), np.float32)
    labels = rng.integers(0, 1000, 20_000)
    tracemalloc.start()
    find_label_suspects(labels, probabilities)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * probabilities.nbytes


def test_rank_by_label_puts_the_least_probable_label_first_and_nan_last() -> None:
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [0.2, 0.8], [0.6, 0.4]], np.float32)
    assert rank_by_label(np.array([0, 0, 0, 0, 1]), probabilities).tolist() == [2, 3, 4, 0, 1]
    assert len(rank_by_label(np.zeros(0, np.int64), probabilities[:0])) == 0
