from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.evaluation.cross_fit import cross_fit_sides, fit_head, fold_numbers, one_thread


def test_fold_numbers_spreads_each_class_and_all_images_evenly() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 1003)
    numbers = fold_numbers(labels, None, 5, 0)
    table = np.zeros((7, 5), np.int64)
    np.add.at(table, (labels, numbers), 1)
    assert (table.max(1) - table.min(1)).max() <= 1
    assert np.ptp(np.bincount(numbers)) <= 1


def test_fold_numbers_keeps_groups_together_and_their_classes_spread() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 300, 2000)
    labels = (groups * 7 % 10 < 2).astype(np.int64)
    numbers = fold_numbers(labels, groups, 5, 0)
    assert all(len(np.unique(numbers[groups == group])) == 1 for group in np.unique(groups))
    for label in (0, 1):
        counts = np.bincount(numbers[labels == label], minlength=5)
        assert counts.max() - counts.min() <= np.bincount(groups).max()


@pytest.mark.parametrize(("sizes", "folds"), [((10, 10), 5), ((7, 7), 8), ((3, 1, 1), 5), ((1,), 2), ((2, 2, 2, 2), 3)])
def test_fold_numbers_leaves_no_fold_empty_if_there_are_enough_groups(sizes: tuple[int, ...], folds: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    numbers = fold_numbers(labels, None, folds, 0)
    assert len(np.unique(numbers)) == min(folds, len(labels))


def test_fold_numbers_has_no_degenerate_fold_with_few_groups_of_several_classes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):  # settings of scikit-learn issue 33085, where StratifiedGroupKFold has empty splits
        labels = rng.integers(0, rng.integers(2, 20), 100)
        groups = rng.integers(0, rng.integers(2, 10), 100)
        units = len(np.unique(groups))
        sides = list(cross_fit_sides(labels, groups, 5, 0))
        assert len(sides) == min(5, units)
        assert sorted(np.concatenate([judged for _, judged in sides])) == list(range(100))


def test_fold_numbers_depends_only_on_the_seed() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 100)
    assert np.array_equal(fold_numbers(labels, None, 5, 1), fold_numbers(labels, np.arange(100), 5, 1))
    assert not np.array_equal(fold_numbers(labels, None, 5, 1), fold_numbers(labels, None, 5, 2))


def test_cross_fit_sides_of_one_group_is_empty() -> None:
    assert list(cross_fit_sides(np.zeros(4, np.int64), np.zeros(4, np.int64), 5, 0)) == []
    assert list(cross_fit_sides(np.zeros(0, np.int64), None, 5, 0)) == []


def test_fit_head_learns_from_features_of_any_scale() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    features[:, 0] += 4 * labels
    features = features * np.array([1e-8, 1e4, 1, 0], np.float32) + np.array([0, 1e5, 0, 1e3], np.float32)
    head = fit_head(features, labels, None, np.arange(200), 0, most=1000)
    assert head is not None
    right = head.probabilities(features, np.arange(200, 300), 2).argmax(1) == labels[200:]
    assert right.mean() > 0.9


def test_fit_head_of_one_class_is_none() -> None:
    assert fit_head(np.zeros((3, 2)), np.zeros(3, np.int64), None, np.arange(3), 0, most=10) is None


def test_fit_head_uses_at_least_two_images_of_a_small_class() -> None:
    labels = np.repeat([0, 1], [1000, 3])
    features = np.random.default_rng(0).normal(size=(1003, 2)) + 5 * labels[:, None]
    head = fit_head(features, labels, None, np.arange(1003), 0, most=100)
    assert head is not None
    assert head.classes.tolist() == [0, 1]


def test_one_thread_ends_with_its_context() -> None:
    before = torch.get_num_threads()
    with one_thread():
        pass
    assert torch.get_num_threads() == before
