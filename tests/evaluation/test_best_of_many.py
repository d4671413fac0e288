from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, studentized_range, ttest_rel

from harness.evaluation.accuracy import Accuracy, wilson_interval
from harness.evaluation.best_of_many import (
    Noise,
    accuracy_without_luck,
    compare_with_best,
    least_difference,
    noise_between,
    score_without_luck,
    scores_on_equal_folds,
)

EQUAL = np.array([100, 100, 100])


def test_noise_between_is_the_mean_square_of_the_interaction() -> None:
    """By hand: trial effects of 0.02 and fold effects of 0.01 are not noise. ±0.03 in two cells is noise."""
    trials, folds = np.array([0.90, 0.92, 0.94]), np.array([-0.01, 0.0, 0.01])
    additive = trials[:, None] + folds
    noise = noise_between(additive, EQUAL)
    assert noise is not None
    assert noise.variance == pytest.approx(0, abs=1e-30)
    deviation = np.array([[0.03, -0.03, 0.0], [-0.03, 0.03, 0.0], [0.0, 0.0, 0.0]])
    noise = noise_between(additive + deviation, EQUAL)
    assert noise is not None
    assert noise.variance == pytest.approx(4 * 0.03**2 / 4 / 3)  # squares, over (3 - 1)(3 - 1), over 3 folds
    assert noise.freedom == 4


@pytest.mark.parametrize("images", [EQUAL, np.array([101, 100, 99]), np.array([150, 100, 50])])
def test_noise_between_is_unbiased_for_folds_of_any_size(images: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    truth = 0.01**2 * ((images / images.sum()) ** 2).sum()
    found = [noise_between(0.01 * rng.standard_normal((3, 3)), images) for _ in range(4000)]
    assert np.mean([each.variance for each in found if each]) == pytest.approx(truth, rel=0.03)


def test_noise_between_ignores_infinite_scores_and_needs_two_degrees_of_freedom() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.9, 0.6], [0.8, 0.8, -np.inf], [0.8, np.nan, 0.7]])
    assert noise_between(scores, EQUAL) == noise_between(scores[:2], EQUAL) != None  # noqa: E711
    assert noise_between(scores[:1], EQUAL) is None
    assert noise_between(scores[:2, :2], EQUAL[:2]) is None  # one degree of freedom
    assert noise_between(scores[:2, :1], EQUAL[:1]) is None  # one fold


def test_noise_at_least_includes_the_noise_of_images() -> None:
    """Two trials differ by 0.01 in each fold: there is no noise between folds, but 12 images differ."""
    by_image = np.ones((3, 300))
    by_image[0, [0, 1, 2, 100, 101, 102]] = 0
    by_image[1, [3, 4, 103, 104, 200, 201]] = 0
    by_image[2] = by_image[1]
    scores = np.full((3, 3), 0.95)
    noise = noise_between(scores, EQUAL, by_image)
    assert noise is not None
    assert noise.variance == 0
    assert noise.at_least == noise.by_image == pytest.approx(np.var(by_image[0] - by_image[1], ddof=1) / 300 / 2)
    grouped = noise_between(scores, EQUAL, np.repeat(by_image, 2, axis=1), np.arange(600) // 2)
    assert grouped is not None
    assert grouped.by_image == pytest.approx(noise.by_image)
    assert noise_between(scores, EQUAL) == Noise(0.0, 4)


def test_compare_with_best_of_two_trials_is_the_paired_t_test_of_folds() -> None:
    scores = np.array([[0.95, 0.97, 0.93, 0.96], [0.94, 0.93, 0.92, 0.95]])
    images = np.array([50, 50, 50, 50])
    noise = noise_between(scores, images)
    assert noise is not None
    p = compare_with_best(scores, images, noise, trials=2)
    assert p.tolist() == [1, pytest.approx(ttest_rel(scores[0], scores[1]).pvalue, rel=1e-6)]


def test_compare_with_best_counts_all_trials_that_could_have_won() -> None:
    scores = np.array([[0.97, 0.95, 0.96], [0.94, 0.93, 0.95], [0.93, 0.94, 0.92]])
    noise = noise_between(scores, EQUAL)
    assert noise is not None
    few, many = (compare_with_best(scores, EQUAL, noise, trials) for trials in (3, 30))
    assert (few[1:] < many[1:]).all()


def test_noise_between_ignores_trials_that_failed_to_converge() -> None:
    """Two of eight trials vary by ten points between folds; the others by a tenth of a point."""
    rng = np.random.default_rng(5)
    good = np.array([0.95, 0.95, 0.95, 0.95, 0.90, 0.90])[:, None] + 0.001 * rng.standard_normal((6, 3))
    bad = 0.6 + 0.1 * rng.standard_normal((2, 3))
    scores = np.vstack([good, bad])
    scores = scores[np.argsort(-scores.mean(1))]
    noise = noise_between(scores, EQUAL)
    assert noise is not None
    assert noise == noise_between(np.vstack([scores[:4], np.zeros((4, 3))]), EQUAL)
    assert noise.variance < 1e-6
    p = compare_with_best(scores, EQUAL, noise, 8)
    assert (p[1:4] > 0.05).all()
    assert (p[4:] < 0.001).all()


def test_compare_with_best_uses_the_noise_of_a_noisier_pair() -> None:
    quiet, noisy = [0.94, 0.94, 0.94], [0.80, 0.94, 0.96]
    scores = np.array([[0.95, 0.95, 0.95], quiet, [0.90, 0.90, 0.90], [0.91, 0.89, 0.90], noisy])
    noise = Noise(1e-4, 8)
    p = compare_with_best(scores, EQUAL, noise, 5)
    assert p[2] == pytest.approx(p[3], rel=1e-9)  # a pair with little noise does not get a smaller p
    most = studentized_range.sf(0.05 / np.sqrt(2.5e-4), 5, 8)  # (1 + 4) / 2 times the variance
    assert p[4] == pytest.approx(most, rel=1e-6)


def test_least_difference_is_on_the_edge_of_significance() -> None:
    noise = Noise(1e-4, 6)
    least = least_difference(noise, 8)
    assert least < least_difference(Noise(1e-4, 6, 4e-4), 8)  # the least difference for its images
    just = np.array([[0.95] * 3, [0.95 - 1.001 * least] * 3, [0.95 - 0.999 * least] * 3])
    p = compare_with_best(just, EQUAL, noise, 8)
    assert p[1] < 0.05 < p[2]


def test_compare_with_best_also_tests_the_images() -> None:
    """Two trials differ by 0.01 in each fold: there is no noise between folds, so the images decide."""
    by_image = np.ones((2, 300))
    by_image[1, [0, 100, 200]] = 0
    scores = by_image.reshape(2, 3, 100).mean(2)
    p = compare_with_best(scores, EQUAL, Noise(1e-12, 2), 2, by_image)
    error = np.std(by_image[0] - by_image[1], ddof=1) / np.sqrt(300)
    assert p[1] == pytest.approx(2 * norm.sf(0.01 / error), rel=1e-6)
    assert compare_with_best(scores, EQUAL, Noise(1e-12, 2), 2)[1] < 1e-4  # tested only by folds


def test_compare_with_best_counts_a_group_as_one_image() -> None:
    rng = np.random.default_rng(1)
    single = (rng.random((3, 90)) < [[0.95], [0.85], [0.7]]).astype(float)
    twice, groups = np.repeat(single, 2, axis=1), np.arange(180) // 2
    images, noise = np.array([60, 60, 60]), Noise(1e-9, 4)
    scores = single.reshape(3, 3, 30).mean(2)
    alone = compare_with_best(scores, images, noise, 3, single)
    assert compare_with_best(scores, images, noise, 3, twice, groups).tolist() == pytest.approx(alone.tolist())
    assert (compare_with_best(scores, images, noise, 3, twice)[1:] < alone[1:]).all()


def test_compare_with_best_is_1_for_equal_scores_and_nan_for_infinite_ones() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [-np.inf, 0.8, 0.7], [np.nan, 0.8, 0.7]])
    noise = Noise(0.0, 4)  # nothing varies
    p = compare_with_best(scores, EQUAL, noise, 4, np.ones((4, 300)))
    assert p[:2].tolist() == [1, 1]
    assert np.isnan(p[2:]).all()


def test_score_without_luck_is_nearer_to_the_true_score_of_equal_settings() -> None:
    rng = np.random.default_rng(2)
    before, after = [], []
    for _ in range(60):
        scores = 0.95 + 0.01 * rng.standard_normal((11, 3))
        noise = noise_between(scores[np.argsort(-scores.mean(1))], EQUAL)
        assert noise is not None
        before.append(scores.mean(1).max() - 0.95)
        after.append(score_without_luck(scores, EQUAL, noise) - 0.95)
        assert after[-1] <= before[-1]
    assert np.mean(before) > 0.008
    assert abs(np.mean(after)) < 0.3 * np.mean(before)


def test_score_without_luck_keeps_the_score_of_a_trial_that_is_far_better() -> None:
    scores = np.full((10, 3), 0.80)
    scores[4] = 0.95
    assert score_without_luck(scores, EQUAL, Noise(0.01**2 / 3, 18)) == pytest.approx(0.95, abs=1e-6)


def test_score_without_luck_ignores_trials_that_failed_to_converge() -> None:
    rng = np.random.default_rng(3)
    good = 0.95 + 0.01 * rng.standard_normal((8, 3))
    noise = Noise(0.01**2 / 3, 14)
    alone = score_without_luck(good, EQUAL, noise)
    failed = [[0.5, 0.4, 0.6], [-np.inf, 0.5, 0.5], [np.nan, np.nan, np.nan]]
    assert score_without_luck(np.vstack([good, failed]), EQUAL, noise) == pytest.approx(alone, abs=1e-9)


def test_score_without_luck_counts_trials_that_were_pruned_after_a_bad_fold() -> None:
    """Half of the equal trials were pruned after a bad first fold; the other first folds are good by luck."""
    rng = np.random.default_rng(4)
    with_pruned, without = [], []
    for _ in range(20):
        scores = 0.95 + 0.01 * rng.standard_normal((20, 3))
        scores = scores[np.argsort(-scores[:, 0])]
        scores[10:, 1:] = np.nan
        with_pruned.append(score_without_luck(scores, EQUAL, Noise(0.01**2 / 3, 18)))
        without.append(score_without_luck(scores[:10], EQUAL, Noise(0.01**2 / 3, 18)))
    assert abs(np.mean(with_pruned) - 0.95) < 0.004
    assert np.mean(without) > np.mean(with_pruned) + 0.001


def test_score_without_luck_without_noise_is_the_best_score() -> None:
    assert score_without_luck(np.array([[0.9, 0.8], [0.9, 0.9]]), EQUAL[:2], Noise(0.0, 2)) == pytest.approx(0.9)


def test_accuracy_without_luck_adds_the_noise_to_wilsons_interval() -> None:
    best = Accuracy(95, 100)
    without = accuracy_without_luck(best, 0.93, Noise(0.0, 4))
    assert without.interval == pytest.approx(wilson_interval(93, 100))
    spread = 0.93 * 0.07
    doubled = accuracy_without_luck(best, 0.93, Noise(spread / 100, 4))  # the noise equals the variance of the images
    assert doubled.interval == pytest.approx(wilson_interval(46.5, 50))
    assert (doubled.n, doubled.value) == (100, pytest.approx(0.93))
    grouped = accuracy_without_luck(Accuracy(95, 100, 20, 40.0), 0.93, Noise(0.0, 4))
    assert grouped.interval == pytest.approx(wilson_interval(0.93 * 40, 40))
    assert (grouped.groups, accuracy_without_luck(best, 1.002, Noise(1e-4, 4)).value) == (20, 1.0)


def test_scores_on_equal_folds_remove_the_difficulty_of_folds() -> None:
    trials, folds = np.array([0.9, 0.8, 0.7]), np.array([0.05, 0.0, -0.05])
    scores = trials[:, None] + folds
    scores[2, 1:] = np.nan  # pruned after the easy fold: its mean is 0.75
    found = scores_on_equal_folds(scores, EQUAL)
    assert (found[0] - found).tolist() == pytest.approx([0, 0.1, 0.2])
    odd = np.vstack([scores, [[-np.inf, 0.8, 0.7], [np.nan, np.nan, np.nan]]])
    values = scores_on_equal_folds(odd, EQUAL)
    assert values[3] == -np.inf
    assert np.isnan(values[4])
    assert (values[0] - values[:3]).tolist() == pytest.approx([0, 0.1, 0.2])
