from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.evaluation.accuracy import wilson_interval
from harness.evaluation.calibration import calibration
from harness.plots.reliability import draw_reliability
from tests.plots.conftest import points, texts


def test_draw_reliability_shows_each_bin_with_its_interval_and_its_images(
    tmp_path: Path, figures: list[Figure]
) -> None:
    """Predicts 30 images with 80 %, 18 of them right, and 20 images with 100 %, all of them right."""
    labels = np.array([1] * 18 + [0] * 12 + [1] * 20)
    probabilities = np.array([[0.2, 0.8]] * 30 + [[0.0, 1.0]] * 20)
    result = calibration(labels, probabilities)
    draw_reliability(tmp_path / "x.png", "the title", result)
    (figure,) = figures
    above, below = figure.axes
    low, high = (100 * limit for limit in result.interval)
    assert figure.get_suptitle() == f"the title\ncalibration error 12.0 % (95 % interval {low:.1f} to {high:.1f} %)"
    assert texts(above) == [f"a calibrated model shows {100 * result.chance:.1f} % by chance"]
    diagonal, dots, *caps = above.lines
    assert points(diagonal) == [(0, 0), (100, 100)]
    assert points(dots) == [(80, 60), (100, 100)]
    lowest, highest = (sorted(cap.get_ydata()) for cap in caps)
    assert lowest == pytest.approx([100 * wilson_interval(18, 30)[0], 100 * wilson_interval(20, 20)[0]])
    assert highest == pytest.approx([100 * wilson_interval(18, 30)[1], 100])
    ranges, _ = (container.lines[2][0].get_segments() for container in above.containers)
    assert np.concatenate([segment[:, 0] for segment in ranges]) == pytest.approx([80, 90, 90, 100])
    bars = {round(bar.get_x()): bar.get_height() for bar in below.patches if bar.get_height()}
    assert bars == {80: 30, 95: 20}
    assert [bar.get_width() for bar in below.patches] == pytest.approx([5] * 20)
    assert above.get_ylabel() == "accuracy (%)"
    assert below.get_ylabel() == "images"
    assert below.get_xlim()[0] == pytest.approx(75)  # most of the empty range on the left is not shown
