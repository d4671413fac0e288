from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.evaluation.scores import Indices
from harness.plots.figure import saved_figure
from harness.util.files import short

MOST_NUMBERS = 40  # the most classes for which numbers in the cells are readable


def draw_confusion(path: Path, title: str, counts: Indices, classes: Sequence[str], *, normalised: bool) -> None:
    """Draws a confusion matrix, as counts or as percentages of each row. `counts` is (C, C), one row per true class."""
    totals = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    values = shares if normalised else counts
    size = len(classes)
    side = max(3.2, 0.42 * size)
    longest = max(len(short(name)) for name in classes)
    with saved_figure(path, side + 2.1 + 0.07 * longest, side + 0.7 + 0.03 * longest, title) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=100 if normalised else max(1, counts.max()))
        figure.colorbar(image, ax=axes, shrink=0.8, label="% of the true class" if normalised else "images")
        names = [short(name) for name in classes]
        axes.set_xticks(range(size), names, rotation=0 if size * longest < 30 else 90)
        axes.set_yticks(range(size), [f"{name} ({n})" for name, n in zip(names, totals[:, 0], strict=True)])
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class (images)")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if size <= MOST_NUMBERS:
            for row, column in np.ndindex(size, size):
                text = _cell(values[row, column], normalised, bool(totals[row, 0]), quiet=size > 5)
                dark = values[row, column] > (55 if normalised else 0.55 * counts.max())
                colour = "white" if dark else "#222222"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12 if size <= 5 else 8)


def _cell(value: float, normalised: bool, known: bool, quiet: bool) -> str:
    if not known:
        return "–" if normalised else "0"
    if value == 0 and quiet:
        return ""
    return f"{value:.1f} %" if normalised and not quiet else f"{value:.0f}"
