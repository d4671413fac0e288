from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.plots.figure import BLUE, GREEN, ORANGE, legend, picture

SIDES: dict[str, tuple[str, Any]] = {"train": (ORANGE, "--"), "inner": (GREEN, ":"), "valid": (BLUE, "-")}
NAMES = {"train": "training", "inner": "inner part", "valid": "validation"}


def draw_curves(path: Path, title: str, rows: Sequence[Mapping[str, Any]], judged: Mapping[int, int]) -> None:
    """Loss and accuracy of every epoch and fold on one picture: a thin line a fold, a thick one for their mean.

    `rows` are those of `metrics.jsonl`; `judged` maps the folds that have ended to the epoch that is judged.
    """
    folds = sorted({row["fold"] for row in rows})
    sides = {side: look for side, look in SIDES.items() if any(f"{side}_loss" in row for row in rows)}
    about = f"{len(folds)} folds: thin; their mean: thick" if len(folds) > 1 else ""
    with picture(path, 10.4, 4, title, about) as figure:
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
            [*(NAMES[side] for side in sides), "the epoch that is judged"],
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )


def _line(rows: Sequence[Mapping[str, Any]], fold: int, name: str, factor: float) -> dict[int, float]:
    """epoch -> value; an epoch without a finite one is left out."""
    return {row["epoch"]: factor * row[name] for row in rows if row["fold"] == fold and row.get(name) is not None}


def _mean(lines: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Over the epochs that every fold has reached: a mean over fewer folds would jump where one of them stops."""
    shared = sorted(set.intersection(*(set(line) for line in lines)))
    return {epoch: sum(line[epoch] for line in lines) / len(lines) for epoch in shared}


def _marker(line: Mapping[int, float]) -> str:
    return "." if len(line) == 1 else ""
