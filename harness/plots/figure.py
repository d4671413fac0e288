"""The figure, the colours and the legend that all plots share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from harness.util.files import as_text, write_whole

# Colours that people with any kind of colour blindness can distinguish (M. Okabe and K. Ito, 2008), without the yellow
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))  # for prints in grey
GREY = "#767676"
DPI = 110


@contextmanager
def saved_figure(path: Path, width: float, height: float, title: str, about: str = "") -> Iterator[Figure]:
    """Yields a figure of `width` x `height` inches, and writes it to `path` as PNG at the end. Raises StorageError."""
    # without parse_math, a "$" in the name of a class would start a formula
    with rc_context({"text.parse_math": False, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle("\n".join(as_text(text) for text in (title, about) if text), fontsize=11)
        yield figure
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a letter that is missing in the font is drawn as a box
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    write_whole(path, buffer.getvalue())


def legend(axes: Any, handles: list[Any], labels: list[str], **options: Any) -> None:
    """Draws a legend of these handles only. Unlike matplotlib's, it also shows labels that begin with "_"."""
    box = axes.legend(handles, [str(i) for i in range(len(labels))], frameon=False, fontsize=9, **options)
    for text, label in zip(box.get_texts(), labels, strict=True):
        text.set_text(label)
