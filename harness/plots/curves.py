from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.plots.figure import BLUE, GREEN, ORANGE, legend, saved_figure

SIDES: dict[str, tuple[str, Any]] = {"train": (ORANGE, "--"), "inner": (GREEN, ":"), "valid": (BLUE, "-")}
NAMES = {"train": "training", "inner": "inner part", "valid": "validation"}


def draw_curves(path: Path, title: str, rows: Sequence[Mapping[str, Any]], judged: Mapping[int, int]) -> None:
    """Draws loss and accuracy by epoch: a thin line for each fold, and a thick line for their mean.

    `rows` are the rows of `metrics.jsonl`. `judged` maps each finished fold to its evaluated epoch.
    """
    folds = sorted({row["fold"] for row in rows})
    sides = {side: look for side, look in SIDES.items() if any(f"{side}_loss" in row for row in rows)}
    about = f"thin: {len(folds)} folds; thick: their mean" if len(folds) > 1 else ""
    with saved_figure(path, 10.4, 4, title, about) as figure:
        for axes, quantity, factor in zip(figure.subplots(1, 2), ("loss", "accuracy"), (1, 100), strict=True):
            for side, (colour, style) in sides.items():
                name = f"{side}_{quantity}"
                lines = [_line(rows, fold, name, factor) for fold in folds]
                for fold, line in zip(folds, lines, strict=True):
                    thin = {"linewidth": 0.9, "alpha": 0.55} if len(folds) > 1 else {"linewidth": 2.0}
                    axes.plot([*line], [*line.values()], style, color=colour, marker=_marker(line), **thin)
                    epoch = judged.get(fold)
                    if side == "valid" and epoch in line:
                        axes.plot(
                            epoch, line[epoch], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3
                        )
                if len(folds) > 1:
                    mean = _mean(lines)
                    axes.plot([*mean], [*mean.values()], style, color=colour, linewidth=2.2, marker=_marker(mean))
            axes.set_xlabel("epoch")
            axes.set_ylabel(quantity if factor == 1 else f"{quantity} (%)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(alpha=0.25)
        lines_of_sides = [Line2D([], [], color=colour, linestyle=style) for colour, style in sides.values()]
        mark = Line2D([], [], color=BLUE, marker="o", linestyle="", markeredgecolor="white")
        legend(
            axes,
            [*lines_of_sides, mark],
            [*(NAMES[side] for side in sides), "evaluated epoch"],
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )


def _line(rows: Sequence[Mapping[str, Any]], fold: int, name: str, factor: float) -> dict[int, float]:
    """The values by epoch, without epochs whose value is missing."""
    return {row["epoch"]: factor * row[name] for row in rows if row["fold"] == fold and row.get(name) is not None}


def _mean(lines: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over the folds, for epochs that all folds have. A mean of fewer folds would jump where a fold stops."""
    shared = sorted(set.intersection(*(set(line) for line in lines)))
    return {epoch: sum(line[epoch] for line in lines) / len(lines) for epoch in shared}


def _marker(line: Mapping[int, float]) -> str:
    return "." if len(line) == 1 else ""
