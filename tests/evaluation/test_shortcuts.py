from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.evaluation.scores import Indices
from harness.evaluation.shortcuts import find_shortcut


def random_facts(n: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "format": rng.choice(["JPEG", "PNG"], n, p=[0.7, 0.3]),
        "camera": rng.choice([*"abcdefgh", ""], n),
        "width": rng.choice([640, 800, *range(300, 400)], n, p=[0.3, 0.3, *[0.004] * 100]),
        "quality": np.where(rng.random(n) < 0.3, np.nan, rng.integers(60, 100, n)),
    }


def test_find_shortcut_finds_a_class_of_another_format() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    facts = random_facts(300, rng) | {"format": np.where(labels, "PNG", "JPEG")}
    found = find_shortcut(facts, labels)
    assert found is not None
    assert found.is_found
    assert found.accuracy.value == 1
    assert found.accuracy.interval[0] > 0.98
    assert found.baseline == max(labels.mean(), 1 - labels.mean())
    assert (found.values[0].fact, found.values[0].of_others[0]) == ("format", 0)


def test_find_shortcut_finds_a_combination_of_sizes() -> None:
    rng = np.random.default_rng(0)
    labels, wide = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    facts = {"width": np.where(wide, 800, 600), "height": np.where(wide ^ labels, 800, 600)}
    found = find_shortcut(facts, labels)
    assert found is not None
    assert found.is_found
    assert found.values == ()
    assert found.accuracy.value == 1


def test_find_shortcut_finds_a_small_class_with_little_effect_on_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(3000) < 0.01, 2, rng.integers(0, 2, 3000))
    facts = random_facts(3000, rng) | {"format": np.where(labels == 2, "PNG", "JPEG")}
    found = find_shortcut(facts, labels)
    assert found is not None
    assert found.is_found
    assert found.accuracy.value - found.baseline < 0.02
    assert [(each.value, each.label) for each in found.values] == [("PNG", 2)]


def test_find_shortcut_baseline_of_unequal_classes() -> None:
    labels = np.repeat([0, 1], [900, 100])  # cleanlab pull request 872 used the class index as the fraction
    found = find_shortcut(random_facts(1000, np.random.default_rng(0)), labels)
    assert found is not None
    assert not found.is_found
    assert found.baseline == 0.9


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.25] * 4])
def test_find_shortcut_has_few_false_alarms(shares: list[float]) -> None:
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        labels = rng.choice(len(shares), 150, p=shares)
        found = find_shortcut(random_facts(150, rng), labels, seed=seed)
        alarms += found is not None and found.is_found
    assert alarms <= 2  # of 30, if the chance is at most 1 %


def test_find_shortcut_does_not_count_copies_as_independent() -> None:
    alarms = {"apart": 0, "groups": 0}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.integers(0, 2, 30), 10)
        facts = {"width": np.repeat(rng.integers(100, 9999, 30), 10)}
        for name, groups in (("apart", None), ("groups", np.repeat(np.arange(30), 10))):
            found = find_shortcut(facts, labels, groups, seed)
            assert found is not None
            alarms[name] += found.is_found
    assert alarms["apart"] > 7
    assert alarms["groups"] <= 1


def test_find_shortcut_of_facts_with_one_value_is_the_baseline() -> None:
    labels = np.repeat([0, 1], [30, 20])
    found = find_shortcut({"format": ["JPEG"] * 50, "width": np.full(50, 100)}, labels)
    assert found is not None
    assert (found.facts, found.accuracy.value, found.baseline, found.is_found) == ((), 0.6, 0.6, False)


@pytest.mark.parametrize("labels", [np.zeros(0, np.int64), np.zeros(9, np.int64), np.array([1])])
def test_find_shortcut_of_one_class_is_none(labels: Indices) -> None:
    assert find_shortcut({"format": ["PNG"] * len(labels)}, labels) is None
    assert find_shortcut({"format": ["PNG", "JPEG"]}, np.array([0, 1]), np.array([3, 3])) is None


def test_find_shortcut_accepts_classes_of_one_image() -> None:
    found = find_shortcut({"width": np.arange(6)}, np.arange(6))
    assert found is not None
    assert not found.is_found
