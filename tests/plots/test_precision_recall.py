from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from harness.plots.figure import GREY
from harness.plots.precision_recall import MOST_COLOURS, draw_precision_recall
from tests.plots.conftest import texts


def scored(classes: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities. Classes with a higher index are easier."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    logits = rng.normal(size=(count, classes)) + np.eye(classes)[labels] * (1 + labels[:, None])
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_draw_precision_recall_has_a_curve_for_each_class_the_hardest_first(
    tmp_path: Path, figures: list[Figure]
) -> None:
    labels, probabilities = scored(3)
    draw_precision_recall(tmp_path / "x.png", "the title", labels, probabilities, ("a", "b", "c"))
    (axes,) = figures[0].axes
    averages = [average_precision_score(labels == i, probabilities[:, i]) for i in range(3)]
    order = sorted(range(3), key=lambda i: averages[i])
    assert texts(axes.get_legend()) == [f"{'abc'[i]}: {averages[i]:.3f}" for i in order]
    for line, i in zip(axes.lines, order, strict=True):
        precision, recall, _ = precision_recall_curve(labels == i, probabilities[:, i])
        assert line.get_xdata() == pytest.approx(recall)
        assert line.get_ydata() == pytest.approx(precision)
    assert figures[0].get_suptitle() == f"the title\nmean average precision {np.mean(averages):.3f}"
    assert axes.get_xlabel().startswith("recall")
    assert axes.get_ylabel().startswith("precision")


def test_draw_precision_recall_of_many_classes_names_the_hardest(tmp_path: Path, figures: list[Figure]) -> None:
    labels, probabilities = scored(9, 900)
    draw_precision_recall(tmp_path / "x.png", "many", labels, probabilities, "abcdefghi")
    (axes,) = figures[0].axes
    named = MOST_COLOURS - 1
    assert len(texts(axes.get_legend())) == named + 1
    assert texts(axes.get_legend())[-1].startswith(f"the {9 - named} others: ")
    assert [line.get_color() for line in axes.lines].count(GREY) == 9 - named
    assert len({line.get_color() for line in axes.lines}) == named + 1


def test_draw_precision_recall_leaves_out_a_class_without_images(tmp_path: Path, figures: list[Figure]) -> None:
    labels, probabilities = scored(2)
    probabilities = np.hstack([probabilities, np.zeros((len(labels), 1))])
    draw_precision_recall(tmp_path / "x.png", "few", labels, probabilities, ("a", "b", "none"))
    assert [text.partition(":")[0] for text in texts(figures[0].axes[0].get_legend())] == ["a", "b"]
