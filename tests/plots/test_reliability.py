from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.evaluation.accuracy import wilson_interval
from harness.evaluation.scores import calibration
from harness.plots.reliability import draw_reliability
from tests.plots.conftest import points


def test_draw_reliability_shows_each_bin_with_its_interval_and_its_images(
    tmp_path: Path, figures: list[Figure]
) -> None:
    """Ten images at 80 %, six of them right, and five at 100 %, all of them right."""
    labels = np.array([1] * 6 + [0] * 4 + [1] * 5)
    probabilities = np.array([[0.2, 0.8]] * 10 + [[0.0, 1.0]] * 5)
    result = calibration(labels, probabilities)
    draw_reliability(tmp_path / "x.png", "the title", result)
    (figure,) = figures
    above, below = figure.axes
    assert figure.get_suptitle() == f"the title\nexpected calibration error {100 * result.error:.1f} %"
    diagonal, dots, *caps = above.lines
    assert points(diagonal) == [(0, 0), (100, 100)]
    assert points(dots) == [(80, 60), (100, 100)]
    low, high = (sorted(cap.get_ydata()) for cap in caps)
    assert low == pytest.approx([100 * wilson_interval(6, 10)[0], 100 * wilson_interval(5, 5)[0]])
    assert high == pytest.approx([100 * wilson_interval(6, 10)[1], 100])
    bars = {round(bar.get_x()): bar.get_height() for bar in below.patches if bar.get_height()}
    assert bars == {80: 10, 90: 5}
    assert [bar.get_width() for bar in below.patches] == pytest.approx([10] * 10)
    assert above.get_ylabel() == "predicted right (%)"
    assert below.get_ylabel() == "images"
    assert below.get_xlim()[0] == pytest.approx(80)  # what is empty on the left is not shown
