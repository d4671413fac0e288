from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.evaluation.abstention import Abstention
from harness.plots.figure import BLUE, legend, saved_figure

NEAREST = 0.035  # smallest distance of two labels, as a share of the axis: closer labels would overlap


def draw_abstention(path: Path, title: str, rows: Sequence[Abstention]) -> None:
    """Draws the accuracy of the answered images, with 95 % intervals, against the share of answered images.

    Each point is a threshold of confidence, written above the axes. If several thresholds give the same answers, the
    highest one is shown. The share falls from left to right, so the threshold rises.

    Args:
        path: The PNG file to write.
        title: The title of the plot.
        rows: The table of `abstention`.
    """
    points = {row.share: (row.threshold, row.accuracy) for row in rows if row.accuracy is not None}
    shares = [100 * share for share in points]
    values = [100 * accuracy.value for _, accuracy in points.values()]
    low, high = ([100 * accuracy.interval[side] for _, accuracy in points.values()] for side in (0, 1))
    margin = max(1.0, 0.03 * (100 - min(shares)))
    left, right = 100 + margin, min(shares) - margin
    with saved_figure(path, 6.4, 4.6, title) as figure:
        axes = figure.subplots()
        band = axes.fill_between(shares, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axes.vlines(shares, low, high, color=BLUE, alpha=0.4, linewidth=1)
        (line,) = axes.plot(shares, values, "o-", color=BLUE, linewidth=1.6)
        axes.set_xlim(left, right)
        axes.set_xlabel("answered images (%)")
        axes.set_ylabel("accuracy of the answers (%)")
        axes.grid(alpha=0.25)
        ticks: list[tuple[float, str]] = []
        for share, (threshold, _) in zip(shares, points.values(), strict=True):
            if not ticks or ticks[-1][0] - share >= NEAREST * (left - right):
                ticks.append((share, f"{100 * threshold:.0f}"))
        above = axes.secondary_xaxis("top")
        above.set_xticks([share for share, _ in ticks], [text for _, text in ticks])
        above.set_xlabel("smallest probability at which the model answers (%)")
        names = ["accuracy of the answers", "95 % interval"]
        legend(axes, [line, band], names, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
