from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from harness.evaluation.calibration import calibration
from harness.evaluation.scores import log_loss
from harness.evaluation.temperature import LEAST, MOST, PARTS, _parts, cross_fitted, fit_temperature, scaled


def calibrated(images: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns (labels, logits) of a calibrated model."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(images, classes))
    return (softmax(logits, 1).cumsum(1) > rng.random((images, 1))).argmax(1), logits


@pytest.mark.parametrize("factor", [1 / 3, 1, 3])
def test_fit_temperature_undoes_a_factor_of_the_logits(factor: float) -> None:
    labels, logits = calibrated(5000)
    assert fit_temperature(labels, softmax(factor * logits, 1)) == pytest.approx(factor, rel=0.05)


def test_scaled_by_the_fitted_temperature_has_a_lower_calibration_error() -> None:
    labels, logits = calibrated(5000)
    fitted = softmax(3 * logits, 1)
    labels_of_others, logits_of_others = calibrated(5000, seed=1)
    before = softmax(3 * logits_of_others, 1)
    after = scaled(before, fit_temperature(labels, fitted))
    assert calibration(labels_of_others, before).interval[0] > 0.1
    assert calibration(labels_of_others, after).error < 0.03


@pytest.mark.parametrize(("images", "classes", "factor"), [(50, 2, 1.0), (500, 6, 3.0), (20, 3, 0.5)])
def test_fit_temperature_minimises_the_log_loss_with_one_artificial_image(
    images: int, classes: int, factor: float
) -> None:
    labels, logits = calibrated(images, classes)
    probabilities = softmax(factor * logits, 1)

    def loss(logarithm: float) -> float:
        after = softmax(np.log(probabilities) / np.exp(logarithm), 1)
        prior = -(probabilities * np.log(after)).sum(1).mean()
        return float(images * log_loss(labels, after) + prior)

    expected = np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded", options={"xatol": 1e-9}).x)
    assert fit_temperature(labels, probabilities) == pytest.approx(expected, rel=1e-5)


def test_fit_temperature_decreases_with_the_number_of_right_predictions() -> None:
    """Without a prior there is no minimum; T went below 0 in https://github.com/autogluon/autogluon/pull/4397."""
    fitted = [fit_temperature(np.zeros(n, np.int64), np.tile([0.8, 0.2], (n, 1))) for n in (1, 10, 100, 1000)]
    assert 1 > fitted[0] > fitted[1] > fitted[2] > fitted[3] > LEAST
    # of n + 1 images, all except 0.2 are class 0
    assert scaled(np.array([[0.8, 0.2]]), fitted[2])[0, 1] == pytest.approx(0.2 / 101)


def test_fit_temperature_of_wrong_predictions_is_the_bound() -> None:
    """https://github.com/gpleiss/temperature_scaling/issues/23 and 31: T rose to 24,413,192, or fell below 0."""
    assert fit_temperature(np.ones(30, np.int64), np.tile([0.8, 0.2], (30, 1))) == MOST
    assert fit_temperature(np.ones(1, np.int64), np.array([[1.0, 0.0]])) == MOST
    assert scaled(np.array([[1.0, 0.0]]), MOST)[0, 1] > 0


def test_fit_temperature_is_1_without_information() -> None:
    assert fit_temperature(np.zeros(0, np.int64), np.zeros((0, 3))) == 1
    assert fit_temperature(np.array([0, 1, 2]), np.full((3, 7), 1 / 7)) == 1
    assert fit_temperature(np.array([0, 1]), np.eye(2)) == 1
    assert fit_temperature(np.zeros(3, np.int64), np.ones((3, 1))) == 1


def test_fit_temperature_of_probabilities_of_0_is_between_the_bounds() -> None:
    labels, logits = calibrated(300)
    probabilities = softmax(400 * logits, 1)
    assert (probabilities == 0).any()
    temperature = fit_temperature(labels, probabilities)
    assert LEAST <= temperature <= MOST
    assert np.isfinite(scaled(probabilities, temperature)).all()
    assert log_loss(labels, scaled(probabilities, temperature)) < log_loss(labels, probabilities)


def test_fit_temperature_keeps_no_probabilities_in_memory() -> None:
    labels, logits = calibrated(50)
    probabilities = softmax(2 * logits, 1)
    kept = weakref.ref(probabilities)
    gc.disable()
    try:
        fit_temperature(labels, probabilities)
        del probabilities
        assert kept() is None
    finally:
        gc.enable()


def test_scaled_is_the_softmax_of_the_divided_logits() -> None:
    _, logits = calibrated(100)
    for temperature in (LEAST, 0.5, 2.0, MOST):
        assert scaled(softmax(logits, 1), temperature) == pytest.approx(softmax(logits / temperature, 1), rel=1e-9)


def test_scaled_by_1_is_bit_identical() -> None:
    probabilities = np.random.default_rng(0).random((5, 3))
    assert scaled(probabilities, 1.0) is probabilities


@pytest.mark.parametrize("temperature", [LEAST, 0.3, 1.7, MOST])
def test_scaled_never_changes_the_predicted_class(temperature: float) -> None:
    rng = np.random.default_rng(0)
    probabilities = np.concatenate(
        [
            rng.dirichlet(np.ones(5), 500),
            rng.dirichlet(np.ones(5), 500).round(1),  # ties, and zeros
            0.2 + 1e-16 * rng.integers(0, 9, (500, 5)),  # nearly equal: rounding makes them equal
            np.eye(5),
        ]
    )
    result = scaled(probabilities, temperature)
    assert (result.argmax(1) == probabilities.argmax(1)).all()
    assert result.sum(1) == pytest.approx(np.ones(len(result)), abs=1e-12)
    equal = probabilities[:, None] == probabilities[:, :, None]
    assert (result[:, None] == result[:, :, None])[equal].all()


def test_cross_fitted_scales_each_fold_by_the_others() -> None:
    labels, logits = calibrated(300)
    probabilities, folds = softmax(2 * logits, 1), np.arange(300) % 3 + 1
    result = cross_fitted(labels, probabilities, folds)
    for fold in (1, 2, 3):
        temperature = fit_temperature(labels[folds != fold], probabilities[folds != fold])
        assert (result[folds == fold] == scaled(probabilities[folds == fold], temperature)).all()


def test_cross_fitted_does_not_use_the_labels_of_a_fold_for_it() -> None:
    labels, logits = calibrated(300)
    probabilities, folds = softmax(2 * logits, 1), np.arange(300) % 3
    other = np.where(folds == 0, (labels + 1) % 4, labels)
    one, two = (cross_fitted(which, probabilities, folds) for which in (labels, other))
    assert (one[folds == 0] == two[folds == 0]).all()
    assert (one[folds != 0] != two[folds != 0]).any()


def test_cross_fitted_leaves_out_other_images_of_a_group() -> None:
    labels, logits = calibrated(40)
    probabilities, folds = softmax(2 * logits, 1), np.arange(40) % 2
    groups = np.where(
        np.arange(40) < 30, np.arange(40) // 2, np.arange(40)
    )  # 15 groups of two images in different folds
    result = cross_fitted(labels, probabilities, folds, groups)
    others = (folds == 1) & (np.arange(40) >= 30)
    expected = scaled(probabilities[folds == 0], fit_temperature(labels[others], probabilities[others]))
    assert (result[folds == 0] == expected).all()


def test_cross_fitted_divides_a_single_fold_into_parts_of_whole_groups() -> None:
    groups = np.random.default_rng(0).integers(0, 60, 300)
    parts = _parts(groups)
    assert np.unique(parts).tolist() == list(range(PARTS))
    assert all(len(np.unique(parts[groups == group])) == 1 for group in groups)
    assert np.bincount(parts).min() > 40
    labels, logits = calibrated(300)
    probabilities, ones = softmax(3 * logits, 1), np.ones(300, np.int64)
    result = cross_fitted(labels, probabilities, ones, groups)
    assert (result == cross_fitted(labels, probabilities, ones, groups)).all()
    assert (result == cross_fitted(labels, probabilities, parts, groups)).all()
    assert log_loss(labels, result) < log_loss(labels, probabilities)


@pytest.mark.parametrize("images", [0, 1])
def test_cross_fitted_does_not_scale_a_single_group(images: int) -> None:
    probabilities = np.tile([0.9, 0.1], (images, 1))
    zeros = np.zeros(images, np.int64)
    assert (cross_fitted(zeros, probabilities, zeros) == probabilities).all()
    grouped = np.tile([0.9, 0.1], (6, 1))
    assert (cross_fitted(np.zeros(6, int), grouped, np.zeros(6, int), np.zeros(6, int)) == grouped).all()


def test_cross_fitted_does_not_lower_the_log_loss_of_random_labels() -> None:
    """The labels are random. Fitting on the same 20 images lowers their log loss on average; cross-fitting does not."""
    fitted, crossed = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels, probabilities = rng.integers(0, 2, 20), softmax(rng.normal(size=(20, 2)), 1)
        fitted.append(log_loss(labels, scaled(probabilities, fit_temperature(labels, probabilities))))
        crossed.append(log_loss(labels, cross_fitted(labels, probabilities, np.arange(20) % 5)))
    assert np.mean(fitted) < np.log(2) < np.mean(crossed)
