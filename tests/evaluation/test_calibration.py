from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from harness.evaluation.accuracy import wilson_interval
from harness.evaluation.calibration import (
    LEAST_IMAGES,
    MOST_BINS,
    _sum_of_half_normals,
    calibration,
    calibration_error,
)

Truth = Callable[[np.ndarray], np.ndarray]
TRUTHS: dict[str, Truth] = {
    "calibrated": lambda confidence: confidence,
    "overconfident": lambda confidence: 1 / (1 + (1 / confidence - 1) ** (1 / 3)),
    "underconfident": lambda confidence: 1 / (1 + (1 / confidence - 1) ** 1.7),
    "overconfident and underconfident": lambda confidence: np.clip(confidence + 0.08 * np.sin(12 * confidence), 0, 1),
}


def judged(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (labels, probabilities) of two classes with these confidences."""
    return np.asarray(right, np.int64), np.stack([1 - confidence, confidence], 1)


def test_calibration_bins_hold_equally_many_images() -> None:
    confidence = np.linspace(0.501, 0.999, 400)
    result = calibration(*judged(confidence, confidence > 0.7))
    assert result.counts.tolist() == [40] * MOST_BINS
    assert result.confidence == pytest.approx(confidence.reshape(MOST_BINS, 40).mean(1))
    assert result.right.tolist() == (confidence > 0.7).reshape(MOST_BINS, 40).sum(1).tolist()
    assert result.edges[[0, -1]].tolist() == [0.501, 0.999]
    assert result.edges[1] == pytest.approx(confidence[39:41].mean())
    assert len(calibration(*judged(confidence[:99], confidence[:99] > 0.6)).counts) == 99 // LEAST_IMAGES


def test_calibration_error_is_the_mean_gap_of_bins() -> None:
    rng = np.random.default_rng(0)
    confidence = np.sort(0.5 + 0.5 * rng.random(300))
    right = rng.random(300) < confidence - 0.1
    gaps = (right - confidence).reshape(MOST_BINS, 30).mean(1)
    assert calibration(*judged(confidence, right)).error == pytest.approx(np.abs(gaps).mean())
    assert calibration_error(*judged(confidence, right)) == calibration(*judged(confidence, right)).error


def test_calibration_keeps_equal_confidences_in_one_bin() -> None:
    confidence = np.repeat([0.6, 0.8, 0.9, 1.0], [30, 100, 7, 63])
    result = calibration(*judged(confidence, np.ones(200, bool)))
    assert set(result.confidence.round(12)) <= {0.6, 0.8, 0.9, 1.0, round((7 * 0.9 + 63) / 70, 12)}
    assert result.counts.sum() == 200
    rng = np.random.default_rng(0)
    for size in (1, 2, 30, 500):
        confidence = rng.choice([0.5, 0.7, 0.75, 0.99, 1.0], size)
        result = calibration(*judged(confidence, rng.random(size) < 0.8))
        assert (result.counts > 0).all()
        places = np.searchsorted(result.edges[1:-1], confidence, side="right")
        assert np.bincount(places, minlength=len(result.counts)).tolist() == result.counts.tolist()


def test_calibration_does_not_depend_on_the_order_of_images() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = judged(rng.choice([0.6, 0.7, 0.8], 200), rng.random(200) < 0.7)
    order = rng.permutation(200)
    one, other = calibration(labels, probabilities), calibration(labels[order], probabilities[order])
    for field in fields(one):
        assert getattr(one, field.name) == pytest.approx(getattr(other, field.name), rel=1e-12), field.name


def test_calibration_puts_a_confidence_of_1_into_the_last_bin() -> None:
    """https://github.com/Lightning-AI/torchmetrics/issues/3510: it was counted in an extra bin."""
    labels, probabilities = judged(np.array([0.95, 1.0]), np.array([True, False]))
    result = calibration(labels, probabilities)
    assert result.error == pytest.approx(abs(0.5 - 0.975))
    assert result.histogram[-1] == 2


def test_calibration_of_confidences_of_0_and_1_is_defined() -> None:
    """https://github.com/Lightning-AI/torchmetrics/issues/1646 and 1744: index -1 is out of bounds."""
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0]] * 20)
    result = calibration(np.tile([0, 1], 20), probabilities)
    assert (result.error, result.chance, result.interval[0]) == (0, 0, 0)
    assert result.interval[1] == pytest.approx(1 - wilson_interval(40, 40)[0])
    assert calibration(np.tile([1, 0], 20), probabilities).error == 1


def test_calibration_error_of_a_confident_and_wrong_model_is_high() -> None:
    """https://github.com/Lightning-AI/torchmetrics/issues/1105: accuracy there is the share of class 1."""
    probabilities = np.array([[0.99, 0.01], [0.999, 0.001], [0.995, 0.005]])
    assert calibration_error(np.zeros(3, np.int64), probabilities) == pytest.approx(1 - 2.984 / 3)
    assert calibration_error(np.ones(3, np.int64), probabilities) == pytest.approx(2.984 / 3)


def test_calibration_error_of_one_image_is_undefined() -> None:
    assert calibration_error(np.zeros(1, np.int64), np.array([[0.9, 0.1]])) is None
    result = calibration(np.zeros(1, np.int64), np.array([[0.9, 0.1]]))
    assert result.edges.tolist() == [0.9, 0.9]
    assert result.interval[0] == 0
    assert result.interval[1] > 0.8


def test_calibration_counts_groups_in_its_intervals() -> None:
    labels, probabilities = judged(np.full(40, 0.95), np.ones(40, bool))
    alone, grouped = (calibration(labels, probabilities, groups) for groups in (None, np.arange(40) // 10))
    assert alone.intervals.tolist() == [list(wilson_interval(40, 40))]
    assert grouped.intervals.tolist() == [list(wilson_interval(4, 4))]
    assert grouped.interval[1] > alone.interval[1]
    assert grouped.chance == pytest.approx(alone.chance * 10**0.5)


def test_calibration_interval_distinguishes_overconfident_from_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence, draws = 0.5 + 0.5 * rng.random(1000), rng.random(1000)
    assert calibration(*judged(confidence, draws < confidence)).interval[0] == 0
    assert calibration(*judged(confidence, draws < confidence - 0.1)).interval[0] > 0.05


def test_calibration_chance_is_the_mean_error_of_calibrated_models() -> None:
    rng = np.random.default_rng(0)
    confidence = 0.5 + 0.5 * rng.random(300)
    errors = [calibration_error(*judged(confidence, rng.random(300) < confidence)) for _ in range(300)]
    assert calibration(*judged(confidence, np.ones(300, bool))).chance == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.parametrize("deviations", [[1.0], [1.0] * 10, [1.0, 0.1, 0.3]], ids=len)
def test_sum_of_half_normals_matches_a_simulation(deviations: list[float]) -> None:
    sums = np.abs(np.random.default_rng(0).normal(size=(100_000, len(deviations))) * deviations).sum(1)
    mean, most = _sum_of_half_normals(np.array(deviations))
    assert mean == pytest.approx(sums.mean(), rel=0.01)
    assert most == pytest.approx(np.quantile(sums, 0.9875), rel=0.04)


def held(truth: Truth, sharp: bool, images: int, size: int, copies: bool, times: int) -> float:
    """Returns how often the interval covers the error of a large population, in the bins of the sample."""

    def confidences(rng: np.random.Generator, number: int) -> np.ndarray:
        wide = 0.5 + 0.5 * rng.random(number)
        return 1 / (1 + np.exp(-np.abs(rng.normal(3, 1.5, number)))) if sharp else wide

    rng, hits = np.random.default_rng(0), 0
    population = np.clip(confidences(np.random.default_rng(1), 30_000), 0, 1 - 1e-12)
    gaps = truth(population) - population
    groups = np.arange(images) // size
    for _ in range(times):
        confidence = np.clip(confidences(rng, images), 0, 1 - 1e-12)
        confidence = confidence[groups * size] if copies else confidence
        together = copies | (rng.random(images) < 0.6)
        draws = np.where(together, rng.random(images)[groups], rng.random(images))
        labels, probabilities = judged(confidence, draws < truth(confidence))
        result = calibration(labels, probabilities, None if size == 1 else groups)
        places = np.searchsorted(result.edges[1:-1], population, side="right")
        error = np.abs(np.bincount(places, weights=gaps)).sum() / len(population)
        hits += result.interval[0] <= error + 1e-12 <= result.interval[1] + 1e-12
    return hits / times


@pytest.mark.parametrize("truth", TRUTHS)
def test_calibration_interval_covers_the_true_error(truth: str) -> None:
    """A coverage of 95 % would fail in 1 of 1,000 such tests."""
    assert held(TRUTHS[truth], True, 300, 1, False, 100) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("sharp", [False, True], ids=["wide", "sharp"])
@pytest.mark.parametrize("images", [100, 300, 1000])
@pytest.mark.parametrize(("size", "copies"), [(1, False), (5, True), (5, False)], ids=["alone", "copies", "groups"])
def test_calibration_interval_covers_the_true_error_in_93_percent(
    truth: str, sharp: bool, images: int, size: int, copies: bool
) -> None:
    assert held(TRUTHS[truth], sharp, images, size, copies, 500) >= 0.93
