from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from harness.evaluation.fact_shares import FactShare, fact_shares
from harness.evaluation.fact_values import fact_values
from harness.evaluation.scores import Indices


def shares(column: object, labels: Indices, groups: Indices | None = None) -> list[FactShare]:
    return fact_shares([fact_values("format", np.asarray(column))], labels, groups)


def test_fact_shares_lists_the_value_of_one_class_once() -> None:
    labels = np.repeat([0, 1, 2], 50)
    found = shares(np.where(labels == 1, "PNG", "JPEG"), labels)
    assert [(each.value, each.label) for each in found[:1]] == [("PNG", 1)]
    assert (found[0].of_class, found[0].of_others, found[0].difference) == ((50, 50), (0, 100), 1.0)
    assert {(each.value, each.label) for each in found[1:]} == {("JPEG", 0), ("JPEG", 2)}  # 100 % and 50 %


def test_fact_shares_lists_a_value_of_two_classes_once() -> None:
    labels = np.repeat([0, 1], 50)
    found = shares(np.where(labels == 1, "PNG", "JPEG"), labels)
    assert [(each.value, each.label) for each in found] == [("JPEG", 0), ("PNG", 1)]


def test_fact_shares_have_the_p_of_fishers_test() -> None:
    labels = np.repeat([0, 1], [20, 20])
    column = ["PNG"] * 18 + ["JPEG"] * 2 + ["PNG"] * 2 + ["JPEG"] * 18
    found = shares(column, labels)
    assert found[0].p == pytest.approx(4 * fisher_exact([[18, 2], [2, 18]]).pvalue)  # two values, two classes


def test_fact_shares_finds_one_small_class_among_many() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 1000, 100_000)
    widths = rng.integers(300, 1000, 100_000)
    widths[labels == 7] = 512
    found = fact_shares([fact_values("width", widths), fact_values("mode", rng.choice(["L", "RGB"], 100_000))], labels)
    assert [(each.fact, each.label) for each in found] == [("width", 7)]
    low, high = map(int, found[0].value.split(" to "))
    assert low <= 512 <= high


def test_fact_shares_ignores_values_of_few_images() -> None:
    assert shares(["PNG"] * 3 + ["JPEG"] * 3, np.repeat([1, 0], 3)) == []


def test_fact_shares_ignores_small_differences() -> None:
    labels = np.repeat([0, 1], 5000)
    column = np.where(np.arange(10_000) % 100 < np.where(labels, 60, 40), "PNG", "JPEG")
    assert shares(column, labels) == []  # 20 points: significant, but too small


def test_fact_shares_counts_copies_once() -> None:
    labels, groups = np.repeat([0, 1], [50, 50]), np.repeat(np.arange(10), 10)
    column = np.repeat(["PNG"] * 5 + ["JPEG"] * 5, 10)
    assert shares(column, labels)[0].of_class == (50, 50)
    assert shares(column, labels, groups) == []  # 5 and 5: p = 0.008, and 0.032 after correction for four comparisons
    assert shares(np.repeat(column, 2), np.repeat(labels, 2), np.repeat(np.arange(100), 2))[0].of_class == (50, 50)


def test_fact_shares_are_limited_and_sorted() -> None:
    labels = np.repeat(np.arange(30), 40)
    found = shares(np.array([f"camera {label}" for label in labels]), labels)
    assert len(found) == 20
    assert all(each.difference == 1 for each in found)


def test_fact_shares_of_one_class_is_empty() -> None:
    assert shares(["PNG"] * 20 + ["JPEG"] * 20, np.zeros(40, np.int64)) == []


def test_fact_shares_have_few_false_alarms() -> None:
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        labels = rng.integers(0, 3, 60)
        columns = [
            fact_values("format", rng.choice(["PNG", "JPEG"], 60)),
            fact_values("width", rng.integers(0, 99, 60)),
        ]
        alarms += bool(fact_shares(columns, labels))
    assert alarms <= 6
