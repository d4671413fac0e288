from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from harness.plots.figure import GREY
from harness.plots.parameter_shares import Bar, draw_shares
from tests.plots.conftest import points, texts, tick_labels


def test_draw_shares_has_a_bar_with_its_interval_for_each_parameter(tmp_path: Path, figures: list[Figure]) -> None:
    bars = [Bar("lr", 0.7, 0.4, 0.9), Bar("freeze", 0.1, 0.02, 0.3)]
    draw_shares(tmp_path / "x.png", "x", bars, "of 20 trials")
    (axes,) = figures[0].axes
    assert figures[0].get_suptitle() == "x: importance of parameters\nof 20 trials"
    assert tick_labels(axes.yaxis) == ["freeze", "lr"]  # from the bottom up
    assert [round(bar.get_width(), 6) for bar in axes.patches] == [10, 70]
    assert [points(line) for line in axes.lines if line.get_color() == GREY] == [[(2, 0), (30, 0)], [(40, 1), (90, 1)]]
    assert texts(axes) == ["10 %", "70 %"]
