"""Pruning saves folds and keeps the winner: 200 simulated studies of each kind, whose truth is known."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from harness.evaluation.accuracy import paired_exact_test
from harness.tuning.pruning_formula import CHANCE, FEWEST_CURVES, chance_to_win, chance_within_fold

SEEDS = 200
IMAGES = 949


def simulated(seed: int, trials: int, folds: int, deviation: float, good: float) -> np.ndarray:
    """(trials, IMAGES) which trial was right about which image.

    Images are easy or hard for all trials alike, with a correlation of 0.8 squared; a share `good` of the trials is
    within 90 and 97 %, the others are worse; and each fold's training has luck of its own.
    """
    rng = np.random.default_rng(seed)
    inverse = np.vectorize(statistics.NormalDist().inv_cdf)
    easy = rng.normal(size=IMAGES)
    truth = np.where(rng.random(trials) < good, rng.uniform(0.90, 0.97, trials), rng.uniform(0.5, 0.95, trials))
    luck = rng.normal(size=(trials, folds)) * deviation
    thresholds = inverse(np.clip(truth[:, None] + luck, 0.4, 0.995))[:, np.arange(IMAGES) % folds]
    right: np.ndarray = 0.8 * easy + 0.6 * rng.normal(size=(trials, IMAGES)) < thresholds
    return right


def winner(right: np.ndarray, folds: int) -> tuple[int, int]:
    """(the trial that wins with pruning, the folds that were trained)."""
    fold_of, best, trained = np.arange(len(right[0])) % folds, -1, 0
    for trial, own in enumerate(right):
        for fold in range(folds):
            trained += 1
            seen = fold_of <= fold
            if best < 0 or fold == folds - 1:
                continue
            if chance_to_win(own[seen].astype(float) - right[best][seen], int((~seen).sum())) < CHANCE:
                break
        else:
            best = trial if best < 0 or own.sum() > right[best].sum() else best
    return best, trained


@pytest.mark.parametrize(
    ("trials", "folds", "deviation", "good"),
    [(20, 3, 0.003, 0.3), (20, 3, 0.01, 0.6), (30, 3, 0.003, 1.0), (20, 5, 0.01, 0.3), (30, 5, 0.003, 0.6)],
)
def test_the_winner_stays_and_a_good_part_of_the_folds_is_saved(
    trials: int, folds: int, deviation: float, good: float
) -> None:
    same, within_noise, share = [], [], []
    for seed in range(SEEDS):
        right = simulated(seed, trials, folds, deviation, good)
        whole = int(right.sum(1).argmax())
        best, trained = winner(right, folds)
        p = paired_exact_test(int((right[whole] & ~right[best]).sum()), int((~right[whole] & right[best]).sum()))
        same.append(best == whole)
        within_noise.append(p >= 0.05 and right[whole].mean() - right[best].mean() <= 0.005)
        share.append(trained / (trials * folds))
    assert np.mean(same) >= 0.9  # the very same trial
    assert np.mean(within_noise) >= 0.95  # or one that is within half a point, and cannot be told apart
    assert np.mean(share) <= 0.6


def test_the_chance_is_what_it_says() -> None:
    """Among trials whose chance was said to be about so much, about so many win."""
    chances, won = [], []
    for seed in range(400):
        right = simulated(seed, 2, 3, 0.005, 1.0).astype(float)
        difference = right[1] - right[0]
        seen = np.arange(IMAGES) % 3 == 0
        chances.append(chance_to_win(difference[seen], int((~seen).sum())))
        won.append(difference.sum() > 0)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        chosen = [(s, w) for s, w in zip(chances, won, strict=True) if low <= s <= high]
        expected, observed = (np.mean(column) for column in zip(*chosen, strict=True))
        assert abs(expected - observed) < 0.15, (low, high, expected, observed, len(chosen))


def test_at_the_end_nothing_is_left_to_chance() -> None:
    assert chance_to_win(np.array([1.0, 0.0, -1.0, 1.0]), 0) == 1.0
    assert chance_to_win(np.array([1.0, -1.0]), 0) == 0.0  # as good as the best is not better


def test_few_images_prove_nothing() -> None:
    assert chance_to_win(np.zeros(300), 600) == 0.5
    assert chance_to_win(np.array([-1.0]), 10) > CHANCE
    assert chance_to_win(np.array([-1.0] * 30 + [0.0] * 270), 600) < CHANCE


CURVES = [[0.6, 0.8, 0.9, 0.94, 0.95]] * FEWEST_CURVES


def test_within_a_fold_only_what_is_hopeless_ends() -> None:
    best = np.array([1.0] * 311 + [0.0] * 5)  # 98.4 %
    nothing = np.zeros(0)

    def chance(accuracy: float, epoch: int, curves: list[list[float]] = CURVES, left: int = 632) -> float:
        return chance_within_fold(nothing, accuracy, epoch, best, left, curves)

    assert chance(0.8, 2) > CHANCE  # a tenth of its error may be all that is left: 98 %
    assert chance(0.5, 2) < CHANCE
    assert chance(0.5, 2, CURVES[:-1]) == 1.0  # too few fits have been seen
    assert chance(0.5, 5) == 1.0  # no fit has been seen that went on from there
    assert chance(0.5, 2, [*CURVES, [0.2, 0.3, 0.98]]) > CHANCE  # one has learned as fast as that
    assert chance(0.5, 2, left=0) < CHANCE


def test_within_a_fold_the_folds_before_count() -> None:
    best = np.array([1.0] * 300 + [0.0] * 16)
    ahead, behind = np.array([1.0] * 20 + [0.0] * 296), np.array([-1.0] * 40 + [0.0] * 276)
    assert chance_within_fold(ahead, 0.5, 2, best, 316, CURVES) > chance_within_fold(behind, 0.5, 2, best, 316, CURVES)
