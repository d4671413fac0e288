from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from harness.evaluation.noise import Repeats, SeedNoise, between_repeats, seed_noise


def test_between_repeats_is_mean_and_sample_deviation() -> None:
    assert between_repeats(np.array([0.8, 0.9, 1.0])) == Repeats(pytest.approx(0.9), pytest.approx(0.1), 3)
    assert between_repeats(np.array([0.8])) == Repeats(0.8, None, 1)


def test_seed_noise_is_pooled_within_folds() -> None:
    noise = seed_noise(np.array([[0.80, 0.84], [0.50, 0.56], [0.9, 0.9]]))
    assert noise is not None
    assert noise.deviation == pytest.approx(math.sqrt((0.04**2 / 2 + 0.06**2 / 2) / 3))
    assert noise.freedom == 3
    squares = 3 * noise.deviation**2
    limits = [math.sqrt(squares / chi2.ppf(point, 3)) for point in (0.975, 0.025)]
    assert noise.interval == pytest.approx(tuple(limits))


def test_seed_noise_of_one_fold_is_its_sample_deviation() -> None:
    accuracies = np.array([0.8, 0.85, 0.83, 0.9])
    noise = seed_noise(accuracies[None])
    assert noise is not None
    assert noise.deviation == pytest.approx(accuracies.std(ddof=1))


def test_seed_noise_leaves_out_missing_models() -> None:
    nan = math.nan
    some = seed_noise(np.array([[0.8, 0.9, nan], [nan, nan, nan], [0.7, nan, nan], [0.5, 0.6, 0.7]]))
    assert some is not None
    assert some.freedom == 3
    assert some.deviation == pytest.approx(math.sqrt((0.005 + 0.02) / 3))
    assert seed_noise(np.array([[0.8, nan], [0.9, nan]])) is None
    assert seed_noise(np.array([[0.8], [0.9]])) is None


def test_seed_noise_of_equal_accuracies_has_no_interval() -> None:
    assert seed_noise(np.array([[0.7, 0.7, 0.7], [0.1, 0.1, 0.1]])) == SeedNoise(0.0, None, 4)


def test_seed_noise_interval_covers_the_true_deviation() -> None:
    rng, hits = np.random.default_rng(0), 0
    for accuracies in 0.8 + rng.normal(size=(1000, 5, 1)) + 0.02 * rng.normal(size=(1000, 5, 3)):
        noise = seed_noise(accuracies)
        assert noise is not None
        assert noise.interval is not None
        hits += noise.interval[0] <= 0.02 <= noise.interval[1]
    assert 0.93 < hits / 1000 < 0.97
