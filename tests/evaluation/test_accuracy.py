from __future__ import annotations

import pytest
from scipy.stats import binomtest

from harness.evaluation.accuracy import (
    Accuracy,
    mean_and_deviation,
    paired_exact_test,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "n"), [(25, 35), (30, 35), (0, 10), (10, 10), (898, 949)])
def test_wilson_interval_equals_scipy(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_of_all_or_none_ends_at_1_or_0() -> None:
    assert all(wilson_interval(n, n)[1] == 1.0 and wilson_interval(0, n)[0] == 0.0 for n in range(1, 200))


def test_wilson_interval_of_25_of_35() -> None:
    assert wilson_interval(25, 35) == pytest.approx((0.55, 0.84), abs=0.005)


def test_accuracy_text_has_its_interval_and_n() -> None:
    assert str(Accuracy(1, 2)) == "50.0 % (95 % interval 9.5 to 90.5 %, n = 2)"


def test_mean_and_deviation_of_samples() -> None:
    assert mean_and_deviation([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_deviation([0.5]) == (0.5, 0.0)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (40, 21)])
def test_paired_exact_test_is_a_two_sided_binomial_test(better: int, worse: int) -> None:
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert paired_exact_test(better, worse) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("better", "worse"), [(5000, 5200), (7000, 6500)])
def test_paired_exact_test_is_exact_for_thousands_of_images(better: int, worse: int) -> None:
    assert paired_exact_test(better, worse) == pytest.approx(binomtest(better, better + worse).pvalue, rel=1e-9)
