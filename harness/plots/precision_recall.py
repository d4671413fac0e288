from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.evaluation.scores import Floats, Indices, precision_recall
from harness.plots.figure import COLOURS, GREY, STYLES, legend, saved_figure
from harness.util.files import short

MOST_COLOURS = 6  # curves with a colour; if there are more classes, only the hardest have one, and the others are grey


def draw_precision_recall(
    path: Path, title: str, labels: Indices, probabilities: Floats, classes: Sequence[str]
) -> None:
    """Draws the precision-recall curve of each class against all others, the hardest class first."""
    present = [(i, name) for i, name in enumerate(classes) if (labels == i).any()]
    curves = sorted(((*precision_recall(labels, probabilities, i), name) for i, name in present), key=lambda c: c[2])
    named = curves if len(curves) <= MOST_COLOURS else curves[: MOST_COLOURS - 1]
    mean = sum(curve[2] for curve in curves) / len(curves)
    with saved_figure(path, 7.4, 4.4, title, f"mean average precision {mean:.3f}") as figure:
        axes = figure.subplots()
        handles, texts = [], []
        for precision, recall, _, _ in curves[len(named) :]:
            (other,) = axes.step(recall, precision, where="post", color=GREY, linewidth=0.7, alpha=0.6)
        for (precision, recall, average, name), colour, style in zip(named, COLOURS, STYLES, strict=False):
            handles += axes.step(recall, precision, where="post", color=colour, linestyle=style, linewidth=1.9)
            texts.append(f"{short(name)}: {average:.3f}")
        if len(named) < len(curves):
            handles.append(other)
            texts.append(f"the {len(curves) - len(named)} others: {curves[len(named)][2]:.3f} or more")
        axes.set_xlabel("recall (share of the class that is found)")
        axes.set_ylabel("precision (share of the predictions that are right)")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.01)
        axes.grid(alpha=0.25)
        legend(axes, handles, texts, loc="center left", bbox_to_anchor=(1.0, 0.5), title="average precision")
