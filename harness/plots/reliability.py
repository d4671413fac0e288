from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.evaluation.scores import Calibration
from harness.plots.figure import BLUE, GREY, ORANGE, legend, picture


def draw_reliability(path: Path, title: str, calibration: Calibration) -> None:
    """Draws the accuracy per bin of confidence with 95 % intervals; below, the number of images per bin."""
    some = np.flatnonzero(calibration.counts)
    confidence = 100 * calibration.confidence[some]
    share = 100 * calibration.right[some] / calibration.counts[some]
    errors = np.abs(100 * calibration.intervals[some].T - share)
    about = f"expected calibration error {100 * calibration.error:.1f} %"
    with picture(path, 5.4, 5.4, title, about) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        (diagonal,) = above.plot([0, 100], [0, 100], "--", color=GREY, linewidth=1)
        points = above.errorbar(confidence, share, errors, fmt="o-", color=BLUE, ecolor=BLUE, capsize=3, linewidth=1.4)
        above.set_ylabel("predicted right (%)")
        above.set_ylim(-3, 103)
        above.grid(alpha=0.25)
        handles, texts = [points, diagonal], ["the model, with 95 % interval", "as sure as it is right"]
        legend(above, handles, texts, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
        edges = 100 * calibration.edges
        below.bar(edges[:-1], calibration.counts, np.diff(edges), align="edge", color=ORANGE, edgecolor="white")
        below.set_xlabel("probability of the predicted class (%)")
        below.set_ylabel("images")
        lowest = edges[some[0]]
        below.set_xlim(lowest, 100.5)
