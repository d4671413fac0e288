from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.evaluation.calibration import Calibration
from harness.plots.figure import BLUE, GREY, ORANGE, legend, saved_figure


def draw_reliability(path: Path, title: str, calibration: Calibration) -> None:
    """Draws the accuracy per confidence bin with 95 % intervals, and below it the number of images by confidence.

    A horizontal line is the confidence range of a bin.
    """
    confidence, edges = 100 * calibration.confidence, 100 * calibration.edges
    share = 100 * calibration.right / calibration.counts
    heights = np.abs(100 * calibration.intervals.T - share)
    widths = np.abs(np.array([edges[:-1], edges[1:]]) - confidence)
    low, high = (100 * limit for limit in calibration.interval)
    about = f"calibration error {100 * calibration.error:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"
    chance = f"a calibrated model shows {100 * calibration.chance:.1f} % by chance"
    with saved_figure(path, 5.4, 5.8, title, about) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        (diagonal,) = above.plot([0, 100], [0, 100], "--", color=GREY, linewidth=1)
        above.errorbar(confidence, share, xerr=widths, fmt="none", ecolor=BLUE, alpha=0.35, linewidth=3)
        points = above.errorbar(confidence, share, heights, fmt="o-", color=BLUE, ecolor=BLUE, capsize=3, linewidth=1.4)
        above.set_ylabel("accuracy (%)")
        above.set_ylim(-3, 103)
        above.grid(alpha=0.25)
        above.text(0.98, 0.02, chance, transform=above.transAxes, ha="right", va="bottom", fontsize=9, color=GREY)
        handles, texts = [points, diagonal], ["the model, with 95 % interval", "perfect calibration"]
        legend(above, handles, texts, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
        width = 100 / len(calibration.histogram)
        starts = width * np.arange(len(calibration.histogram))
        below.bar(starts, calibration.histogram, width, align="edge", color=ORANGE, edgecolor="white")
        below.set_xlabel("probability of the predicted class (%)")
        below.set_ylabel("images")
        below.set_xlim(max(0, starts[np.flatnonzero(calibration.histogram)[0]] - width), 100.5)
