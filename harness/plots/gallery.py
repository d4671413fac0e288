"""Many small images on one picture, each with a few words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.decode import decode
from harness.evaluate import Prediction
from harness.plots.figure import GREY, picture, short

Pixels = NDArray[np.uint8]  # (side, side, 3)
MOST = 24
COLUMNS = 6
SIDE = 112  # pixels of a thumbnail
LINE = 17  # pixels of a line of words


@dataclass(frozen=True)
class Tile:
    """One image and the lines below it, each a text with its colour."""

    image: Pixels
    lines: tuple[tuple[str, str], ...]


def draw_gallery(path: Path, title: str, about: str, tiles: Sequence[Tile]) -> None:
    """The tiles in rows, in the order given; with none, the words alone."""
    columns = max(1, min(COLUMNS, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    words = max((len(tile.lines) for tile in tiles), default=0)
    pitch_x, pitch_y = SIDE + 16, SIDE + LINE * words + 12
    sheet = np.full((max(1, rows * pitch_y), columns * pitch_x, 3), 255, np.uint8)
    height = sheet.shape[0] / 100 + 0.7
    with picture(path, max(4.5, sheet.shape[1] / 100), height, title, about) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        for place, tile in enumerate(tiles):
            y, x = (place // columns) * pitch_y, (place % columns) * pitch_x + 8
            sheet[y : y + SIDE, x : x + SIDE] = tile.image
            for number, (text, colour) in enumerate(tile.lines):
                top = y + SIDE + LINE * (number + 0.75)
                axes.text(x + SIDE / 2, top, text, color=colour, fontsize=8, ha="center", va="center")
        axes.imshow(sheet, interpolation="nearest")


def draw_errors(path: Path, title: str, predictions: Sequence[Prediction], classes: Sequence[str], root: Path) -> None:
    """The wrong predictions, the surest of their error first, with true class, predicted class and its probability."""
    place = {name: i for i, name in enumerate(classes)}
    wrong = sorted((p for p in predictions if p.predicted != p.label), key=lambda p: p.probabilities[place[p.label]])
    about = f"{len(wrong)} of {len(predictions)} are wrong" if wrong else f"none of {len(predictions)} is wrong"
    if len(wrong) > MOST:
        about += f"; these are the {MOST} worst"
    tiles = [_error_tile(p, p.probabilities[place[p.predicted]], root) for p in wrong[:MOST]]
    draw_gallery(path, title, about, tiles)


def thumbnail(image: Image.Image) -> Pixels:
    """An image as a square of SIDE pixels, whole, on white."""
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    if max(image.size) < SIDE:  # a small one is made larger, with its pixels to be seen
        factor = SIDE / max(image.size)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.NEAREST)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.asarray(square)


def _error_tile(p: Prediction, probability: float, root: Path) -> Tile:
    try:
        image = thumbnail(decode((root / p.path).read_bytes()))
    except Exception:  # the image may have gone since; what was said of it has not
        image = np.full((SIDE, SIDE, 3), 225, np.uint8)
    return Tile(
        image,
        (
            (f"is {short(p.label, 17)}", "black"),
            (f"said {short(p.predicted, 15)}", "#B34700"),
            (f"with {_percent(probability)}", "#B34700"),
            (short(p.path.rpartition("/")[2]), GREY),
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
