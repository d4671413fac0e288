from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.evaluation.accuracy import wilson_interval
from harness.evaluation.gate import Gate, judge
from harness.evaluation.predictions import Predictions


def made(counts: dict[str, tuple[int, int]], groups: bool = False) -> Predictions:
    """Returns predictions with (right, wrong) images of each class; with `groups`, two images form a group."""
    labels = [i for i, (right, wrong) in enumerate(counts.values()) for _ in range(right + wrong)]
    tops = [
        i if k < right else (i + 1) % len(counts)
        for i, (right, wrong) in enumerate(counts.values())
        for k in range(right + wrong)
    ]
    n = len(labels)
    probabilities = np.eye(len(counts))[tops]
    paths = tuple(f"{i}.png" for i in range(n))
    numbers = np.arange(n) // 2 if groups else None
    return Predictions(tuple(counts), paths, np.zeros(n, np.int64), np.array(labels), probabilities, numbers)


UNEQUAL = made({"sea": (90, 0), "forest": (4, 6)})


def test_judge_compares_the_accuracy() -> None:
    (floor,) = judge(UNEQUAL, Gate(0.9))
    assert (floor.name, floor.value, floor.passed, floor.is_sure) == ("accuracy", 0.94, True, False)
    assert floor.interval == wilson_interval(94, 100)
    assert str(floor) == "accuracy 94.0 % >= 90.0 % (95 % interval 87.5 to 97.2 %)"
    assert not judge(UNEQUAL, Gate(0.9400001))[0].passed
    assert "accuracy 94.000 % is below 94.001 %" in str(judge(UNEQUAL, Gate(0.94001))[0])


def test_judge_confident_gate_compares_the_lower_end() -> None:
    (floor,) = judge(UNEQUAL, Gate(0.9, confident=True))
    assert not floor.passed
    text = "accuracy 94.0 % (95 % interval 87.5 to 97.2 %): the lower end 87.5 % is below 90.0 %"
    assert str(floor) == text
    assert judge(UNEQUAL, Gate(0.87, confident=True))[0].passed


def test_judge_compares_balanced_accuracy_and_recalls() -> None:
    """A model that predicts nearly always sea passes if only its accuracy is tested."""
    balanced, sea, forest = judge(UNEQUAL, Gate(0.7, "balanced_accuracy", {"sea": 0.9, "forest": 0.9}))
    assert (balanced.name, balanced.value, balanced.passed) == ("balanced accuracy", 0.7, True)
    assert (sea.name, sea.value, sea.passed) == ("recall of sea", 1.0, True)
    assert (forest.value, forest.passed) == (0.4, False)
    assert forest.interval == wilson_interval(4, 10)
    assert str(forest).startswith("recall of forest 40.0 % is below 90.0 %")
    assert judge(made({"sea": (9, 1), "forest": (8, 2)}, groups=True), Gate(0.7, recalls={"sea": 0.9}))[1].passed


def test_judge_fails_a_class_without_images() -> None:
    floors = judge(made({"sea": (9, 1), "forest": (0, 0)}), Gate(0.7, "balanced_accuracy", {"forest": 0.0}))
    assert (floors[0].value, floors[1].value, floors[1].passed) == (0.9, None, False)
    assert str(floors[1]) == "recall of forest: no image of this class"


def test_require_classes_refuses_an_unknown_class() -> None:
    with pytest.raises(UsageError, match="there is no class 'see'; did you mean 'sea'") as caught:
        Gate(0.7, recalls={"see": 0.9}).require_classes(["forest", "sea"])
    assert caught.value.why == "the classes are forest, sea"


@pytest.mark.parametrize("recalls", [(0.95, 0.7), (0.99, 0.6), (0.85, 0.85)])
def test_judge_interval_of_balanced_accuracy_covers_it(recalls: tuple[float, float]) -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        right = rng.binomial([150, 30], recalls)
        found = made({"sea": (right[0], 150 - right[0]), "forest": (right[1], 30 - right[1])})
        low, high = judge(found, Gate(0.5, "balanced_accuracy"))[0].interval
        hits += low <= sum(recalls) / 2 <= high
    assert 0.925 <= hits / 400 <= 0.98
