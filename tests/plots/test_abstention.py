from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.evaluation.abstention import abstention
from harness.evaluation.accuracy import wilson_interval
from harness.plots.abstention import draw_abstention
from tests.plots.conftest import points, texts, tick_labels


def drawn(confidence: list[float], right: list[int], path: Path) -> None:
    sure = np.array(confidence)
    draw_abstention(path / "x.png", "the title", abstention(np.array(right), np.stack([1 - sure, sure], 1)))


def test_draw_abstention_has_a_point_per_share_with_its_threshold_and_interval(
    tmp_path: Path, figures: list[Figure]
) -> None:
    drawn([0.55] * 4 + [0.75] * 2 + [0.97] * 4, [1, 0, 0, 0, 1, 0, 1, 1, 1, 1], tmp_path)
    (figure,) = figures
    (axes,) = figure.axes
    assert figure.get_suptitle() == "the title"
    (line,) = axes.lines
    assert points(line) == [(100, 60), (60, round(500 / 6, 6)), (40, 100)]
    band, rules = axes.collections
    limits = [[100 * limit for limit in wilson_interval(*counts)] for counts in ((6, 10), (5, 6), (4, 4))]
    assert [sorted(segment[:, 1]) for segment in rules.get_segments()] == [pytest.approx(limit) for limit in limits]
    heights = [y for _, y in band.get_paths()[0].vertices]
    assert (min(heights), max(heights)) == pytest.approx((min(min(limits)), max(max(limits))))
    (above,) = axes.child_axes
    assert tick_labels(above.xaxis) == ["50", "70", "95"]
    assert above.get_xticks().tolist() == pytest.approx([100, 60, 40])
    left, right = axes.get_xlim()
    assert left > 100 > 40 > right
    assert texts(axes.get_legend()) == ["accuracy of the answers", "95 % interval"]
    assert axes.get_xlabel() == "answered images (%)"
    assert axes.get_ylabel() == "accuracy of the answers (%)"


def test_draw_abstention_leaves_out_labels_that_would_overlap(tmp_path: Path, figures: list[Figure]) -> None:
    drawn([0.55] * 50 + [0.65] + [0.75] * 49, [1] * 100, tmp_path)
    (axes,) = figures[0].axes
    assert points(axes.lines[0]) == [(100, 100), (50, 100), (49, 100)]
    assert tick_labels(axes.child_axes[0].xaxis) == ["50", "60"]


def test_draw_abstention_of_one_image(tmp_path: Path, figures: list[Figure]) -> None:
    drawn([0.9], [1], tmp_path)
    assert points(figures[0].axes[0].lines[0]) == [(100, 100)]
