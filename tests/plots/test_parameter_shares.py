from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from harness.plots.parameter_shares import Bar, draw_shares
from tests.plots.conftest import texts, tick_labels


def test_draw_shares_has_a_bar_with_an_interval_for_each_parameter(tmp_path: Path, figures: list[Figure]) -> None:
    bars = [Bar("lr", 0.7, 0.4, 0.85), Bar("freeze", 0.3, 0.1, 0.5)]
    draw_shares(tmp_path / "x.png", "x", bars, "of 20 trials")
    (axes,) = figures[0].axes
    assert figures[0].get_suptitle() == "x: what mattered\nof 20 trials"
    assert tick_labels(axes.yaxis) == ["freeze", "lr"]  # from the bottom up
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([30, 70])
    assert [list(line.get_xdata()) for line in axes.lines] == [pytest.approx([10, 50]), pytest.approx([40, 85])]
    assert texts(axes) == ["30 %", "70 %"]
