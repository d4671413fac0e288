from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.evaluation.scores import Floats
from harness.evaluation.two_samples import Auc, auc_interval, tell_apart


def sides(n: int, m: int, shift: float, seed: int, features: int = 5) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(n, features)), rng.normal(size=(m, features))
    second[:, 0] += shift
    return first, second


def test_tell_apart_is_near_the_auc_of_the_best_classifier() -> None:
    auc = tell_apart(*sides(400, 300, 1.5, 0))
    assert auc is not None
    best = 0.5 * (1 + math.erf(1.5 / 2))  # chance that a normal number plus 1.5 exceeds another one
    assert auc.value == pytest.approx(best, abs=0.03)
    assert auc.interval[0] < best < auc.interval[1]
    assert auc.n == (400, 300)


def test_tell_apart_of_completely_different_sets_is_one() -> None:
    auc = tell_apart(*sides(15, 40, 60, 0))
    assert auc is not None
    assert auc.value == 1
    assert 0.6 < auc.interval[0] < 1
    assert auc.interval[1] == 1


def test_tell_apart_of_equal_sets_has_half_in_its_interval() -> None:
    aucs = [tell_apart(*sides(12, 24, 0, seed), seed) for seed in range(20)]
    held = [auc is not None and auc.interval[0] <= 0.5 <= auc.interval[1] for auc in aucs]
    assert sum(held) >= 17  # of 20, if the coverage is 95 %
    assert np.mean([auc.value for auc in aucs if auc]) > 0.45  # it would be lower if folds were pooled


@pytest.mark.parametrize("counts", [(0, 0), (0, 9), (1, 9), (9, 1)])
def test_tell_apart_needs_two_images_of_each_set(counts: tuple[int, int]) -> None:
    assert tell_apart(*sides(*counts, 0, 0)) is None


def test_tell_apart_of_two_images_has_a_wide_interval() -> None:
    auc = tell_apart(*sides(2, 20, 0, 0))
    assert auc is not None
    assert auc.interval[1] - auc.interval[0] > 0.5


def test_tell_apart_of_constant_features_is_half() -> None:
    auc = tell_apart(np.ones((15, 3), np.float32), np.ones((30, 3), np.float32))
    assert auc is not None
    assert auc.value == 0.5


def test_tell_apart_keeps_copies_in_both_sets_in_one_fold() -> None:
    first, second = sides(40, 40, 0, 0)
    auc = tell_apart(first, second, groups=(np.arange(40), np.arange(40)))
    assert auc is not None
    assert auc.interval[0] < 0.5 < auc.interval[1]


def test_tell_apart_does_not_count_copies_as_independent() -> None:
    first, second = sides(6, 20, 0, 1, 40)
    copied, groups = np.repeat(first, 10, axis=0), (np.repeat(np.arange(6), 10), np.arange(6, 26))
    apart, together = tell_apart(copied, second), tell_apart(copied, second, groups=groups)
    plain = tell_apart(first, second)
    assert apart is not None
    assert together is not None
    assert plain is not None
    assert apart.interval[0] > 0.6  # the training set contains each copy
    assert together.interval[0] < 0.5
    assert np.ptp(together.interval) > 0.8 * np.ptp(plain.interval)
    assert tell_apart(copied, second, groups=(np.zeros(60, np.int64), np.arange(1, 21))) is None


def test_tell_apart_samples_images_and_does_not_change_features() -> None:
    first, second = sides(6000, 30, 1, 0, 2)
    before = first.copy()
    auc = tell_apart(first, second)
    assert auc == tell_apart(first, second)
    assert isinstance(auc, Auc)
    assert auc.n == (5000, 30)
    assert np.array_equal(first, before)


def test_auc_interval_inverts_the_score_test() -> None:
    low, high = auc_interval(0.8, 30, 50)
    for theta in (low, high):
        spread = 1 + 39 * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        assert abs(0.8 - theta) == pytest.approx(1.959964 * math.sqrt(theta * (1 - theta) * spread / 1500), rel=1e-4)
    assert auc_interval(0.2, 30, 50) == pytest.approx((1 - high, 1 - low))
    assert auc_interval(0.8, 30, 50, 2)[0] < low


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_auc_interval_contains_the_auc_and_stays_within_0_and_1(value: float) -> None:
    low, high = auc_interval(value, 3, 5)
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.3


def test_auc_interval_covers_the_true_auc_of_independent_scores() -> None:
    rng, hits, truth = np.random.default_rng(0), 0, 0.5 * (1 + math.erf(1 / 2))
    labels = np.repeat([0, 1], [20, 60])
    for _ in range(500):
        value = float(roc_auc_score(labels, rng.normal(size=80) + labels))
        low, high = auc_interval(value, 20, 60)
        hits += low <= truth <= high
    assert 0.92 < hits / 500 < 0.98
