"""A plot of the importance of parameters: their shares of the differences between the trials of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.plots.figure import BLUE, GREY, saved_figure
from harness.util.files import short

LONGEST_NAME = 30  # characters of a parameter's name


@dataclass(frozen=True)
class Bar:
    """The bar of a parameter: its share of the differences between trials, from 0 to 1, with its interval."""

    parameter: str
    share: float
    low: float
    high: float


def draw_shares(path: Path, title: str, bars: Sequence[Bar], about: str) -> None:
    """Draws a bar for each parameter, the first one at the top."""
    with saved_figure(path, 7, 1.6 + 0.45 * len(bars), f"{title}: importance of parameters", about) as figure:
        axes = figure.subplots()
        for row, bar in enumerate(reversed(bars)):
            share, low, high = 100 * bar.share, 100 * bar.low, 100 * bar.high
            axes.barh(row, share, color=BLUE, height=0.6)
            axes.plot([low, high], [row, row], color=GREY, linewidth=1.6)
            axes.text(max(share, high) + 1.5, row, f"{share:.0f} %", va="center", fontsize=9)
        axes.set_yticks(range(len(bars)), [short(bar.parameter, LONGEST_NAME) for bar in reversed(bars)])
        axes.set_xlim(0, 110)
        axes.set_xlabel("explained share of the differences between trials (%)")
