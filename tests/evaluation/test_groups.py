from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.evaluation.accuracy import Accuracy, paired_exact_test, wilson_interval
from harness.evaluation.groups import accuracy_of, effective_images, paired_test

RNG = np.random.default_rng(0)


def test_accuracy_of_single_images_is_bit_identical_without_groups() -> None:
    right = RNG.random(50) < 0.8
    assert accuracy_of(right) == accuracy_of(right, np.arange(50)) == Accuracy(int(right.sum()), 50)
    assert accuracy_of(right).interval == wilson_interval(int(right.sum()), 50)
    assert str(accuracy_of(right)).endswith("n = 50)")


def test_accuracy_of_doubled_images_has_the_interval_of_the_images() -> None:
    right = RNG.random(300) < 0.9
    doubled = accuracy_of(np.repeat(right, 2), np.repeat(np.arange(300), 2))
    assert (doubled.n, doubled.groups) == (600, 300)
    assert doubled.value == right.mean()
    assert doubled.interval == pytest.approx(wilson_interval(int(right.sum()), 300), abs=0.002)
    assert str(doubled).endswith("n = 600 in 300 groups)")


def test_accuracy_of_a_few_copies_is_nearly_that_of_independent_images() -> None:
    right = np.arange(900) >= 50
    groups = np.concatenate([np.arange(897), [896, 0, 1]])
    assert accuracy_of(right, groups).interval == pytest.approx(wilson_interval(850, 900), abs=0.001)


@pytest.mark.parametrize("right", [True, False])
def test_accuracy_of_groups_that_are_all_right_or_all_wrong_counts_groups(right: bool) -> None:
    accuracy = accuracy_of(np.full(100, right), np.arange(100) // 10)
    assert accuracy.effective == 10
    assert accuracy.interval == wilson_interval(10 * right, 10)
    assert accuracy_of(np.full(9, right), np.zeros(9, np.int64)).effective == 1


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [[10] * 10, [10] * 40, [1] * 36 + [50] * 4, np.geomspace(1, 80, 25)], ids=len)
def test_accuracy_of_interval_covers_the_true_accuracy_of_dependent_images(
    correlation: float, sizes: list[float]
) -> None:
    """Beta-binomial groups. Without groups, coverage would be at most 60 % for a correlation of 0.5."""
    rng, counts, hits, plain = np.random.default_rng(1), np.asarray(sizes).astype(int), [], []
    for truth in (0.6, 0.9, 0.97):
        spread = 1 / correlation - 1 if correlation else None
        for _ in range(250):
            chances = truth if spread is None else rng.beta(truth * spread, (1 - truth) * spread, len(counts))
            right = rng.binomial(counts, chances).astype(float)
            share, n = right.sum() / counts.sum(), effective_images(right, counts.astype(float))
            low, high = wilson_interval(share * n, n)
            hits.append(low <= truth <= high)
            low, high = wilson_interval(right.sum(), counts.sum())
            plain.append(low <= truth <= high)
            assert 1 <= n <= counts.sum()
    assert np.mean(hits) > 0.93
    assert np.mean(plain) < 0.7 or correlation < 0.5


def test_paired_test_of_independent_images_is_mcnemars() -> None:
    first, second = RNG.random(80) < 0.8, RNG.random(80) < 0.7
    expected = paired_exact_test(int((first & ~second).sum()), int((second & ~first).sum()))
    assert paired_test(first, second) == expected
    assert paired_test(first, second, np.arange(80)) == expected
    doubled = paired_test(np.repeat(first, 2), np.repeat(second, 2), np.repeat(np.arange(80), 2))
    assert doubled == pytest.approx(expected, rel=1e-9)


def test_paired_test_equals_the_fraction_of_all_signs() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 9, 40)
        first, second = rng.random(40) < 0.8, rng.random(40) < 0.5
        differences = [int((first & (groups == g)).sum() - (second & (groups == g)).sum()) for g in set(groups)]
        observed = abs(sum(differences))
        signs = itertools.product((1, -1), repeat=len(differences))
        sums = [abs(sum(s * d for s, d in zip(each, differences, strict=True))) for each in signs]
        assert paired_test(first, second, groups) == pytest.approx(np.mean([each >= observed for each in sums]))


def test_paired_test_of_groups_keeps_its_error_rate() -> None:
    """Two equal models make mistakes in groups: McNemar's test of images finds a difference far too often."""
    rng, groups = np.random.default_rng(2), np.repeat(np.arange(30), 10)
    by_group, by_image = [], []
    for _ in range(1000):
        first, second = (np.repeat(rng.random(30) < 0.8, 10) ^ (rng.random(300) < 0.1) for _ in range(2))
        by_group.append(paired_test(first, second, groups) < 0.05)
        by_image.append(paired_test(first, second) < 0.05)
    assert np.mean(by_group) < 0.06
    assert np.mean(by_image) > 0.3


def test_paired_test_of_one_group_and_of_many() -> None:
    assert paired_test(np.ones(9, bool), np.zeros(9, bool), np.zeros(9, np.int64)) == 1
    rng = np.random.default_rng(3)
    groups = np.arange(100_000) // 2
    first, second = rng.random(100_000) < 0.9, rng.random(100_000) < 0.9
    assert 0.01 < paired_test(first, second, groups) < 1
    assert paired_test(first, rng.random(100_000) < 0.5, groups) < 1e-12


@pytest.mark.parametrize("truth", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("sizes", [[10] * 5, [1] * 26 + [50] * 4, [1] * 90 + [50] * 10], ids=["5", "30", "100"])
def test_effective_images_intervals_cover_the_accuracy_if_groups_agree(sizes: list[int], truth: float) -> None:
    """All images of a group are right, or all are wrong. 0.91 is 0.94 minus 2.5 standard errors."""
    rng, counts, held = np.random.default_rng(0), np.array(sizes, float), []
    for right in (rng.random((400, len(counts))) < truth) * counts:
        n = effective_images(right, counts)
        low, high = wilson_interval(right.sum() / counts.sum() * n, n)
        held.append(low <= truth <= high)
    assert np.mean(held) > 0.91


def test_paired_test_keeps_the_precision_of_tiny_probabilities() -> None:
    """All 400 groups favour one model: only the observed signs and their opposites have this difference."""
    groups = np.repeat(np.arange(400), np.resize([1, 2, 3], 400))
    p = paired_test(np.ones(len(groups), bool), np.zeros(len(groups), bool), groups)
    assert p == pytest.approx(2.0**-399, rel=1e-9)
