"""Plots of a comparison: the difference of each pair with its interval, and the images that the results disagree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.decode import read, to_image
from harness.data.depth import Depth, Range, infer_range
from harness.data.fingerprint import fingerprint
from harness.data.images import file_of
from harness.plots.figure import BLUE, GREY, ORANGE, legend, saved_figure
from harness.plots.gallery import GREY as GREY_WORDS
from harness.plots.gallery import SIDE, Pixels, Tile, draw_gallery, percent, thumbnail
from harness.util.files import short

WRONG = "#B34700"
LINES = 12  # the most predictions below an image


@dataclass(frozen=True)
class Difference:
    """The difference of a pair in percentage points, its interval, and whether it is significant."""

    label: str
    points: float
    interval: tuple[float, float]
    significant: bool
    verdict: str


@dataclass(frozen=True)
class Place:
    """A possible place of an image's file.

    Attributes:
        root: The folder that `path` is relative to.
        path: The path of the image.
        fingerprint: The fingerprint of its pixels, or None if it is not known.
        value_range: The value range of images with more than 8 bits.
    """

    root: Path
    path: str
    fingerprint: int | None
    value_range: Range | None


@dataclass(frozen=True)
class Disputed:
    """An image and its predictions, each as (label of the result, class, probability, whether it is right)."""

    name: str
    true: str
    places: Sequence[Place]
    answers: Sequence[tuple[str, str, float, bool]]


def draw_differences(path: Path, title: str, about: str, rows: Sequence[Difference], key: Sequence[str]) -> None:
    """Draws a row for each pair, with a line at zero. `key` explains the labels below. Raises StorageError."""
    height = 1.9 + 0.34 * len(rows) + 0.19 * len(key)
    with saved_figure(path, 9.5, height, title, about) as figure:
        axes = figure.subplots()
        places = np.arange(len(rows))[::-1]
        for y, row in zip(places, rows, strict=True):
            colour = ORANGE if row.significant else BLUE
            axes.plot(row.interval, (y, y), color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(row.points, y, "o", color=colour, markersize=6)
        axes.axvline(0, color=GREY, linewidth=1, linestyle="--", zorder=0)
        axes.set_yticks(places, [row.label for row in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        beside = axes.secondary_yaxis("right")
        beside.set_yticks(places, [row.verdict for row in rows])
        for side in (axes, beside):
            side.tick_params(axis="y", length=0)
        beside.spines["right"].set_visible(False)
        axes.set_xlabel("first minus second (percentage points), with 95 % interval")
        _legend(axes, rows)
        figure.supxlabel("\n".join(short(line, 130) for line in key), fontsize=8.5, x=0.02, ha="left", color="#333333")


def draw_disagreements(path: Path, title: str, about: str, images: Sequence[Disputed]) -> int:
    """Draws the images with the prediction of each result, in the given order. Raises StorageError.

    An image is a grey square if its file is missing or has other pixels than the predicted image. Without any image,
    no file is written.

    Returns:
        Number of images that were found.
    """
    thumbnails = [_find(image) for image in images]
    count = sum(pixels is not None for pixels in thumbnails)
    if count:
        draw_gallery(path, title, about, [_tile(*pair) for pair in zip(images, thumbnails, strict=True)])
    return count


def _find(image: Disputed) -> Pixels | None:
    """The thumbnail of the image from the first place that has it."""
    for place in image.places:
        try:
            raw = read(file_of(place.root, place.path).read_bytes())
            if place.fingerprint is not None and fingerprint(raw) != place.fingerprint:
                continue
            value_range = place.value_range
            if raw.needs_range and value_range is None:
                value_range = infer_range(Depth.of(raw.colours))
            return thumbnail(to_image(raw, value_range))
        except Exception:  # the file was removed or damaged later; its predictions are still known
            continue
    return None


def _tile(image: Disputed, pixels: Pixels | None) -> Tile:
    answers = [
        (f"{label} {short(name, 11)} {percent(share)}", "black" if right else WRONG)
        for label, name, share, right in image.answers[:LINES]
    ]
    lines = ((f"is {short(image.true, 17)}", "black"), *answers, (short(image.name.rpartition("/")[2]), GREY_WORDS))
    return Tile(np.full((SIDE, SIDE, 3), 225, np.uint8) if pixels is None else pixels, lines)


def _legend(axes: Any, rows: Sequence[Difference]) -> None:
    from matplotlib.lines import Line2D

    kinds = {True: (ORANGE, "significant"), False: (BLUE, "no significant difference")}
    present = [kinds[kind] for kind in (True, False) if any(row.significant == kind for row in rows)]
    handles = [Line2D([], [], color=colour, marker="o", linewidth=2) for colour, _ in present]
    legend(axes, handles, [text for _, text in present], loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
