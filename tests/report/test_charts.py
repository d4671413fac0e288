from __future__ import annotations

import math

import pytest

from harness.report.charts import Chart, Scale, horizontal, power_ticks, ticks, vertical
from harness.report.curves import curve_charts


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.83, 0.99, [0.85, 0.9, 0.95]),
        (1, 8, [2, 4, 6, 8]),
        (0, 0.000031, [0, 0.00001, 0.00002, 0.00003]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(found)


def test_ticks_of_epochs_are_whole() -> None:
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]


def test_power_ticks_returns_powers_of_ten_or_the_ends() -> None:
    assert power_ticks(1e-4, 0.2) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert power_ticks(2, 8) == [2, 8]


def test_scale_limits_values_to_its_ends() -> None:
    assert [Scale(0, 10, 100, 200).at(value) for value in (0, 5, 10, 12, -1)] == [100, 150, 200, 200, 100]
    assert [Scale(1, 100, 0, 2, log=True).at(value) for value in (1, 10, 100, 0)] == [0, 1, 2, 0]


def test_chart_line_leaves_out_points_and_keeps_the_ends() -> None:
    chart = Chart("", "", horizontal(0, 9999), vertical(0, 1), "", "")
    chart.line([(float(i), i / 9999) for i in range(10_000)], "valid")
    points = chart.marks[0]["points"].split()
    assert len(points) < 250
    assert points[0] == f"{chart.x.at(0)},{chart.y.at(0)}"
    assert points[-1] == f"{chart.x.at(9999)},{chart.y.at(1)}"


def row(fold: int, epoch: int, loss: float | None, accuracy: float) -> dict[str, float | int | None]:
    return {"fold": fold, "epoch": epoch, "valid_loss": loss, "valid_accuracy": accuracy}


def test_curve_charts_describe_the_first_and_the_last_mean() -> None:
    rows = [row(1, 1, 0.9, 0.5), row(1, 2, 0.3, 0.9), row(2, 1, 0.7, 0.7), row(2, 2, 0.1, 0.8), row(2, 3, 0.1, 0.9)]
    loss, accuracy = curve_charts(rows, {1: 2})
    assert loss.about == "validation: 0.800 in epoch 1, 0.200 in epoch 2"
    assert accuracy.about == "validation: 60.0 % in epoch 1, 85.0 % in epoch 2"
    assert [mark["look"] for mark in accuracy.marks] == ["valid thin", "valid", "valid thin", "valid"]
    assert [mark["says"] for mark in accuracy.marks if mark["kind"] == "dot"] == ["fold 1, epoch 2"]


def test_curve_charts_leave_out_missing_values() -> None:
    loss, _ = curve_charts([row(1, 1, math.nan, 0.5), row(1, 2, None, 0.6), row(1, 3, 0.4, 0.7)], {})
    assert [mark["kind"] for mark in loss.marks] == ["dot"]
    assert "nan" not in str(loss.marks)


def test_curve_charts_with_one_huge_loss_keep_the_others_readable() -> None:
    rows = [row(1, epoch, 1e9 if epoch == 2 else 1.0 / epoch, 0.5) for epoch in range(1, 21)]
    assert curve_charts(rows, {})[0].y.high < 3


def test_curve_charts_without_epochs_returns_no_chart() -> None:
    assert curve_charts([], {}) == []
