from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.plots.confusion import MOST_NUMBERS, draw_confusion
from tests.plots.conftest import texts, tick_labels

COUNTS = np.array([[6, 3, 0], [1, 0, 0], [0, 0, 0]])
NAMES = ("sea", "forest", "lake")


def test_draw_confusion_has_a_row_for_each_true_class(tmp_path: Path, figures: list[Figure]) -> None:
    draw_confusion(tmp_path / "x.png", "the title", COUNTS, NAMES, normalised=False)
    (figure,) = figures
    axes, bar = figure.axes
    assert figure.get_suptitle() == "the title"
    assert axes.images[0].get_array().tolist() == COUNTS.tolist()
    assert (axes.get_xlabel(), tick_labels(axes.xaxis)) == ("predicted class", ["sea", "forest", "lake"])
    assert axes.get_ylabel() == "true class (images)"
    assert tick_labels(axes.yaxis) == ["sea (9)", "forest (1)", "lake (0)"]
    assert texts(axes) == ["6", "3", "0", "1", "0", "0", "0", "0", "0"]
    assert [text.get_position() for text in axes.texts[:4]] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert axes.texts[0].get_color() == "white"  # on the darkest cell
    assert axes.texts[2].get_color() != "white"
    assert bar.get_ylabel() == "images"


def test_draw_confusion_normalised_is_percent_of_each_row(tmp_path: Path, figures: list[Figure]) -> None:
    draw_confusion(tmp_path / "x.png", "the title", COUNTS, NAMES, normalised=True)
    axes, bar = figures[0].axes
    assert axes.images[0].get_array()[:2].tolist() == [pytest.approx([200 / 3, 100 / 3, 0]), [100, 0, 0]]
    assert axes.images[0].get_clim() == (0, 100)
    assert texts(axes) == ["66.7 %", "33.3 %", "0.0 %", "100.0 %", "0.0 %", "0.0 %", "–", "–", "–"]
    assert "%" in bar.get_ylabel()


@pytest.mark.parametrize(("classes", "numbers"), [(6, 6), (MOST_NUMBERS + 1, 0)])
def test_draw_confusion_leaves_out_unreadable_numbers(
    tmp_path: Path, figures: list[Figure], classes: int, numbers: int
) -> None:
    names = [f"c{i}" for i in range(classes)]
    draw_confusion(tmp_path / "x.png", "many", np.eye(classes, dtype=int) * 2, names, normalised=False)
    assert [text for text in texts(figures[0].axes[0]) if text] == ["2"] * numbers
