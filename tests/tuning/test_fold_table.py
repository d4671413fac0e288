from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.groups import paired_test
from harness.tuning.fold_table import FoldTable
from harness.tuning.trial_record import ACCURACY, LOSS
from tests.tuning.records import records, trial


def right(counts: list[int], size: int = 100) -> list[NDArray[np.bool_]]:
    """Folds of `size` images, with these numbers of right images."""
    return [np.arange(size) < count for count in counts]


def table(*scores: list[int], pruned: int = 0) -> FoldTable:
    """A table of trials with these numbers of right images in each fold; the last `pruned` trials were pruned."""
    trials = [trial(i, right(counts), pruned=i >= len(scores) - pruned) for i, counts in enumerate(scores)]
    made = records(trials)
    return FoldTable.of(made[: len(made) - pruned], made[len(made) - pruned :], rising=True, by_image=True)


def test_fold_table_of_has_complete_trials_first_and_nan_for_missing_folds() -> None:
    seen = table([90, 91, 92], [95, 93, 94], [80], [96, 70], pruned=2)
    assert seen.scores[:2].tolist() == [[0.95, 0.93, 0.94], [0.90, 0.91, 0.92]]
    assert np.isnan(seen.scores[2:]).sum(1).tolist() in ([2, 1], [1, 2])
    assert seen.images.tolist() == [100, 100, 100]
    assert seen.unknown == ""


def test_chances_of_identical_settings_are_not_significant() -> None:
    """Eleven trials with the same settings. The seed changes a fold's accuracy by one point."""
    rng = np.random.default_rng(0)
    before = now = 0
    for _ in range(12):
        difficulty = rng.standard_normal(900)
        rights = []
        for _ in range(11):
            limits = np.repeat(1.645 + 0.1 * rng.standard_normal(3), 300)  # 95 %, and 1 point of noise
            rights.append(0.9 * difficulty + 0.44 * rng.standard_normal(900) < limits)
        made = records([trial(i, np.split(each, 3)) for i, each in enumerate(rights)])
        best, *others = made
        before += any(paired_test(best.right, other.right) < SIGNIFICANCE for other in others)
        seen = FoldTable.of(made, [], rising=True, by_image=True)
        now += any(p is not None and p < SIGNIFICANCE for p in seen.chances([best, made[9]]))
    assert before >= 6
    assert now <= 1


def test_chances_of_a_much_worse_trial_are_small() -> None:
    seen = table([95, 96, 95], [94, 95, 96], [80, 82, 81])
    first, similar, worse = seen.chances(seen.trials)
    assert first == 1
    assert similar is not None
    assert worse is not None
    assert similar > 0.5
    assert worse < 0.01


def test_chances_of_ties_are_1() -> None:
    """optuna/optuna#5378, ray-project/ray#47358: the first of several equal trials is the best, without a message."""
    seen = table([95, 96, 95], [96, 95, 95], [95, 95, 96])
    assert seen.chances(seen.trials) == [1, 1, 1]


def test_chances_correct_for_pruned_trials_as_well() -> None:
    few = table([95, 96, 95], [93, 92, 93])
    many = table([95, 96, 95], [93, 92, 93], *[[80]] * 20, pruned=20)
    p, corrected = (seen.chances(seen.trials[:2])[1] for seen in (few, many))
    assert p is not None
    assert corrected is not None
    assert p < corrected


@pytest.mark.parametrize(
    ("scores", "pruned", "why"),
    [
        ([[95], [90]], 0, "one fold does not show the noise of training"),
        ([[95, 96], [90, 91]], 0, "too few trials are complete (2) to estimate the noise of training"),
        ([[95, 96, 95], [90]], 1, "too few trials are complete (1) to estimate the noise of training"),
        ([[95, 96, 95]], 0, ""),
    ],
)
def test_unknown_explains_what_cannot_be_estimated(scores: list[list[int]], pruned: int, why: str) -> None:
    seen = table(*scores, pruned=pruned)
    complete = seen.trials[: len(scores) - pruned]
    assert seen.unknown == why
    assert seen.chances(complete) == [1.0, None][: len(complete)]
    assert seen.expected(ACCURACY) is None


def test_expected_has_an_interval_and_is_corrected_for_luck() -> None:
    rng = np.random.default_rng(1)
    counts = 285 + np.rint(3 * rng.standard_normal((11, 3))).astype(int)
    made = records([trial(i, right(row.tolist(), 300)) for i, row in enumerate(counts)])
    seen = FoldTable.of(made, [], rising=True, by_image=True)
    expected = seen.expected(ACCURACY)
    assert expected is not None
    assert expected.accuracy is not None
    low, high = expected.accuracy.interval
    assert low < 0.95 < high
    assert expected.value == expected.accuracy.value < made[0].value
    assert expected.accuracy.n == 900


def test_expected_is_what_the_best_settings_reach_when_trained_again() -> None:
    """optuna/optuna#3247: the best trial had an F1 of 84 %; trained again, its settings had 80 %."""
    rng = np.random.default_rng(6)
    best, expected = [], []
    for _ in range(25):
        counts = 285 + np.rint(4 * rng.standard_normal((11, 3))).astype(int)
        again = float(np.mean(285 + 4 * rng.standard_normal(100))) / 300  # the mean of a hundred trainings
        searched = records([trial(i, right(row.tolist(), 300)) for i, row in enumerate(counts)])
        found = FoldTable.of(searched, [], rising=True, by_image=True).expected(ACCURACY)
        assert found is not None
        best.append(searched[0].value - again)
        expected.append(found.value - again)
    assert np.mean(best) > 0.008
    assert abs(np.mean(expected)) < np.mean(best) / 2


def test_expected_of_a_loss_is_larger_than_the_best_loss() -> None:
    rng = np.random.default_rng(2)
    trials = [trial(i, np.split(rng.exponential(0.3, 900), 3), losses=True) for i in range(8)]
    made = sorted(records(trials), key=lambda each: each.value)
    seen = FoldTable.of(made, [], rising=False, by_image=True)
    expected = seen.expected(LOSS)
    assert expected is not None
    assert expected.accuracy is None
    assert made[0].value < expected.value == pytest.approx(0.3, abs=0.03)
    p = seen.chances(made)
    assert p[0] == 1
    assert all(value is not None and value > SIGNIFICANCE for value in p)
