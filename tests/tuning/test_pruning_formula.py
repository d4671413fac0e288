"""The chance to become the best is exact if it can be computed, and right on average in simulated studies."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from harness.tuning.pruning_formula import (
    CHANCE,
    FEWEST_CURVES,
    FOLD_DIFFERENCES,
    SPREADS,
    TRAINING_NOISE,
    EarlierTrials,
    _remaining,
)

FOLDER = Path(__file__).parents[2] / "scripts/_simulate"
Floats = NDArray[np.float64]
Trial = dict[int, Floats]
SIZE = 300  # images of a fold


@pytest.fixture(scope="module")
def pruning() -> Iterator[Any]:
    """The module of scripts/simulate, imported under another name."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("pruning")
    finally:
        sys.path.remove(str(FOLDER))
        sys.modules.pop("pruning", None)


def right(errors: Sequence[int], seed: int, size: int = SIZE) -> Trial:
    """A trial with these numbers of errors in its folds, for images that depend on the seed."""
    rng = np.random.default_rng(seed)
    folds: Trial = {}
    for fold, count in enumerate(errors, start=1):
        folds[fold] = np.ones(size)
        folds[fold][rng.choice(size, count, replace=False)] = 0.0
    return folds


def study(*errors: Sequence[int]) -> EarlierTrials:
    """Earlier trials; the first one is the best."""
    best, *others = (right(each, seed) for seed, each in enumerate(errors))
    return EarlierTrials(best, others, counts=True)


ALIKE = [(14, 15, 13), (16, 13, 15), (13, 17, 15), (17, 14, 15), (15, 16, 16), (16, 15, 14)]


def test_chance_to_win_is_0_or_1_if_the_result_is_certain() -> None:
    earlier = study((5, 5, 5), (8, 8, 8))
    assert earlier.chance_to_win(right((5, 5, 4), 9)) == 1.0
    assert earlier.chance_to_win(right((5, 5, 5), 9)) == 0.0  # equal to the best is not better
    assert earlier.chance_to_win(right((14,), 9)) > 0
    assert earlier.chance_to_win(right((15,), 9)) == 0.0  # with perfect remaining folds it would equal the best
    losses = EarlierTrials({1: -np.full(9, 0.1), 2: -np.full(9, 0.1)}, [{1: -np.full(9, 0.5)}], counts=False)
    assert losses.chance_to_win({1: -np.full(9, 0.2)}) == 0.0  # a loss cannot be below 0


def test_chance_to_win_needs_two_complete_trials() -> None:
    assert study((5, 5, 5)).chance_to_win(right((14,), 9)) == 1.0
    assert study((5, 5, 5), (30,)).chance_to_win(right((14,), 9)) == 1.0
    assert study((5, 5, 5), (6, 7, 5)).chance_to_win(right((14,), 9)) < 0.2


def test_chance_to_win_is_larger_if_trials_differ_little() -> None:
    """If trials differ little, a trial's lag is probably chance. If they differ much, it will probably stay."""
    differ = study((14, 15, 13), (34, 35, 30), (52, 50, 55), (24, 25, 20), (44, 46, 40))
    assert differ.chance_to_win(right((27,), 9)) < CHANCE / 3
    assert study(*ALIKE).chance_to_win(right((27,), 9)) > 2 * differ.chance_to_win(right((27,), 9))


def test_chance_to_win_is_larger_if_the_training_is_noisy() -> None:
    noisy = study((14, 15, 13), (4, 33, 19), (30, 2, 20), (22, 31, 3), (9, 9, 36))
    assert noisy.chance_to_win(right((27,), 9)) > 1.5 * study(*ALIKE).chance_to_win(right((27,), 9))


def test_chance_to_win_ignores_a_failed_trial() -> None:
    chance = study(*ALIKE).chance_to_win(right((27,), 9))
    assert study(*ALIKE, (140, 150, 145), (150,)).chance_to_win(right((27,), 9)) == chance


def test_chance_to_win_does_not_depend_on_the_unit_of_the_loss() -> None:
    rng = np.random.default_rng(0)

    def chance(unit: float) -> float:
        own = {1: -unit * (losses[5, 0] + 0.3)}
        best, *others = ({k: -unit * losses[t, k - 1] for k in (1, 2, 3)} for t in range(5))
        return EarlierTrials(best, others, counts=False).chance_to_win(own)

    losses = rng.exponential(0.5, (6, 3, 100))
    losses[0] *= 0.9  # the best trial
    assert chance(1.0) == pytest.approx(chance(1000.0), rel=1e-6)
    assert 0 < chance(1.0) < 0.2


def test_chance_to_win_tolerates_one_confidently_wrong_image() -> None:
    rng = np.random.default_rng(1)
    losses = rng.exponential(0.2, (6, 3, 100))
    losses[0] *= 0.9
    best, *others = ({k: -losses[t, k - 1] for k in (1, 2, 3)} for t in range(5))
    earlier = EarlierTrials(best, others, counts=False)
    unlucky, worse = losses[5, 0].copy(), losses[5, 0] + 0.1
    unlucky[0] += 10.0  # gives the same mean as `worse`
    assert earlier.chance_to_win({1: -unlucky}) > 4 * earlier.chance_to_win({1: -worse})


def test_chance_to_win_does_not_depend_on_copies_in_groups() -> None:
    def chance(copies: int) -> float:
        trials = [right(errors, seed) for seed, errors in enumerate([*ALIKE, (24,)])]
        best, *others, own = ({fold: np.repeat(x, copies) for fold, x in each.items()} for each in trials)
        groups = {fold: np.repeat(np.arange(SIZE), copies) for fold in best}
        return EarlierTrials(best, others, True, groups if copies > 1 else None).chance_to_win(own)

    assert chance(4) == pytest.approx(chance(1), rel=0.2)  # not equal: the imaginary image has less weight


@pytest.mark.parametrize("pruned", [(), (0,), (1, 2)])
def test_remaining_is_the_conditional_normal_distribution(pruned: Sequence[int]) -> None:
    """Compares with the full covariance matrix of all scores, with a very wide prior of their common level."""
    rng = np.random.default_rng(2)
    images, noise, difficulty = np.array([40.0, 50.0, 45.0]), np.array([0.02, 0.05, 0.03, 0.04]), 0.06
    values = 0.9 + 0.03 * rng.standard_normal((4, 3))
    values[3, 1:] = np.nan
    for trial in pruned:
        values[trial, 1 + trial :] = np.nan
    weights, sums, variances = _remaining(values, images, noise, difficulty)
    t, k = (axis.ravel() for axis in np.indices(values.shape))
    seen = ~np.isnan(values.ravel())
    left = np.where(seen | (t < 3), 0.0, images[k])[~seen]
    expected = []
    for spread, training, differ in itertools.product(SPREADS, TRAINING_NOISE, FOLD_DIFFERENCES):
        fold = differ * difficulty / images.mean() * (k[:, None] == k)
        trial = spread * noise.mean() / images.mean() * (t[:, None] == t)
        cov = fold + trial + 1e4 + np.diag((1 + training) * noise[t] / images[k])
        known = cov[np.ix_(seen, seen)]
        slope = np.linalg.solve(known, cov[np.ix_(seen, ~seen)] @ left)
        mean = slope @ (values.ravel()[seen] - 0.9) + 0.9 * left.sum()
        variance = left @ cov[np.ix_(~seen, ~seen)] @ left - slope @ cov[np.ix_(seen, ~seen)] @ left
        log = multivariate_normal.logpdf(values.ravel()[seen] - 0.9, cov=known) + np.log(FOLD_DIFFERENCES[differ])
        expected.append((log, mean, variance))
    logs, means, squares = np.array(expected).T
    assert sums == pytest.approx(means, abs=1e-3)
    assert variances == pytest.approx(squares, rel=1e-4)
    assert weights == pytest.approx(np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum(), rel=1e-3)


def most_winners(stated: float) -> float:
    """1.5 times the stated number of winners, plus two standard deviations."""
    return 1.5 * stated + 2 * math.sqrt(1.5 * stated)


@pytest.mark.parametrize(("name", "trials"), [("loss-1", 8), ("tail-5", 6)])
def test_stated_chances_are_not_too_low_for_pruned_trials(pruning: Any, name: str, trials: int) -> None:
    """For losses and noisy training, the formula of earlier versions stated less than a fifth of the true chance."""
    row = dataclasses.replace(pruning.ROWS[name], trials=trials)
    found = {rule: pruning.summary(pruning.run(row, rule, 60)) for rule in pruning.RULES}
    assert found["now"]["won"] <= most_winners(found["now"]["stated"])
    assert found["before"]["won"] > most_winners(found["before"]["stated"])
    assert found["now"]["saved"] > 0.15


def test_pruning_saves_more_folds_than_before(pruning: Any) -> None:
    for name in ("same-98", "groups-two"):
        row = dataclasses.replace(pruning.ROWS[name], trials=8)
        found = {rule: pruning.summary(pruning.run(row, rule, 40)) for rule in pruning.RULES}
        assert found["now"]["saved"] > 1.5 * found["before"]["saved"]
        assert found["now"]["won"] <= most_winners(found["now"]["stated"])


def test_simulation_prints_a_line_for_each_row(pruning: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pruning.main(["few", "tail-few", "--repeats", "1"])
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines] == ["5, 3, 900"] * 2
    assert {line.count("|") for line in lines} == {header.count("|")}
    with pytest.raises(SystemExit):
        pruning.main(["fwe"])
    assert "there is no row fwe" in capsys.readouterr().err


CURVES = [[0.6, 0.8, 0.9, 0.94, 0.95]] * FEWEST_CURVES


@pytest.fixture
def within() -> Callable[..., float]:
    """The chance within fold 1 of 3, in which the best trial has 98 %."""
    earlier = study((5, 6, 6), (7, 5, 7), (6, 8, 6), (8, 7, 8))

    def chance(accuracy: float, epoch: int, curves: list[list[float]] = CURVES, own: Trial | None = None) -> float:
        own = own or {}
        return earlier.chance_within_fold(own, len(own) + 1, accuracy, epoch, curves)

    return chance


def test_chance_within_fold_is_low_only_for_hopeless_folds(within: Callable[..., float]) -> None:
    assert within(0.8, 2) > CHANCE  # its error may fall to a tenth: 98 % accuracy
    assert within(0.5, 2) < CHANCE
    assert within(0.5, 2, CURVES[:-1]) == 1.0  # too few earlier fits
    assert within(0.5, 5) == 1.0  # no earlier fit has later epochs
    assert within(0.5, 2, [*CURVES, [0.2, 0.3, 0.98]]) > CHANCE  # one earlier fit improved this much


def test_chance_within_fold_includes_earlier_folds(within: Callable[..., float]) -> None:
    ahead, behind = right((2,), 9), right((12,), 9)
    assert within(0.7, 2, own=ahead) > 2 * within(0.7, 2, own=behind)


def test_chance_to_win_allows_for_a_difficult_fold() -> None:
    """optuna#4373, optuna#3331: folds differ in difficulty, so the mean so far misleads pruners."""
    hard_first = study((60, 15, 14), (63, 13, 15), (62, 17, 15), (64, 14, 16))
    assert hard_first.chance_to_win(right((61,), 9)) > 0.2  # it has 80 % so far; the others have 90 % in the end
    assert hard_first.chance_to_win(right((90,), 9)) < CHANCE


def test_chance_to_win_uses_all_folds() -> None:
    """optuna#3203: only the values of the first fold of a cross-validation were kept."""
    earlier = study(*ALIKE)
    behind, recovered, worse = (earlier.chance_to_win(right(e, 9)) for e in ((22,), (22, 9), (22, 24)))
    assert recovered > 2 * behind
    assert worse < behind / 2


def test_chance_to_win_is_larger_for_a_lower_loss() -> None:
    """optuna-examples#31: the study maximised the accuracy, but its pruner maximised the reported loss."""
    rng = np.random.default_rng(3)
    losses = rng.exponential(0.3, (5, 3, 100))
    losses[0] *= 0.9
    best, *others = ({k: -losses[t, k - 1] for k in (1, 2, 3)} for t in range(5))
    earlier = EarlierTrials(best, others, counts=False)
    assert earlier.chance_to_win({1: -losses[0, 0] / 2}) > 0.5
    assert earlier.chance_to_win({1: -losses[0, 0] * 3}) < CHANCE
