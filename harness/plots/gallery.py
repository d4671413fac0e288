"""Many small images in one plot, each with a few words."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from harness.data.decode import decode
from harness.data.depth import Range
from harness.data.images import file_of
from harness.evaluation.predictions import Predictions
from harness.util.files import as_text, short, write_whole

Pixels = NDArray[np.uint8]  # (side, side, 3)
MOST = 24  # the most images
COLUMNS = 6
SIDE = 112  # pixels of a thumbnail
LINE = 17  # pixels of a line of words
TOP = 56  # pixels above the tiles
NARROWEST = 480  # smallest width in pixels, so that the title fits above a few tiles
GREY = "#767676"


@dataclass(frozen=True)
class Tile:
    """An image and the lines below it, each as (text, colour)."""

    image: Pixels
    lines: tuple[tuple[str, str], ...]


def draw_gallery(path: Path, title: str, about: str, tiles: Sequence[Tile]) -> None:
    """Draws the tiles in rows, in the given order. Without tiles, it draws only the title. Raises StorageError.

    It does not use matplotlib, because importing it takes half a second in the middle of a training.
    """
    columns = max(1, min(COLUMNS, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    caption_rows = max((len(tile.lines) for tile in tiles), default=0)
    pitch_x, pitch_y = SIDE + 16, SIDE + LINE * caption_rows + 12
    width = max(NARROWEST, columns * pitch_x)
    sheet = Image.new("RGB", (width, TOP + max(rows, 0) * pitch_y), "white")
    pen, left = ImageDraw.Draw(sheet), (width - columns * pitch_x) // 2
    for number, line in enumerate((title, about)):
        pen.text((width / 2, 18 + 20 * number), _one_line(line), "black", _font(15), anchor="mm")
    for position, tile in enumerate(tiles):
        x, y = left + (position % columns) * pitch_x + 8, TOP + (position // columns) * pitch_y
        sheet.paste(Image.fromarray(tile.image), (x, y))
        for number, (text, colour) in enumerate(tile.lines):
            pen.text((x + SIDE / 2, y + SIDE + LINE * (number + 0.75)), _one_line(text), colour, _font(11), anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    write_whole(path, buffer.getvalue())


def _one_line(text: str) -> str:
    return " ".join(as_text(text).split())


@functools.cache
def _font(size: int) -> Any:
    """The font of matplotlib, as in all other plots, or Pillow's font if matplotlib is not installed."""
    spec = importlib.util.find_spec("matplotlib")
    homes = spec.submodule_search_locations or [] if spec else []
    for home in homes:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(str(Path(home) / "mpl-data/fonts/ttf/DejaVuSans.ttf"), size)
    return ImageFont.load_default(size)


def draw_errors(path: Path, title: str, predictions: Predictions, root: Path, value_range: Range | None = None) -> None:
    """Draws the wrong predictions with both classes and a probability, the least probable true class first.

    `value_range` is the value range of images with more than 8 bits.
    """
    wrong = np.flatnonzero(~predictions.right)
    about = f"{len(wrong)} of {len(predictions)} predictions are wrong"
    if len(wrong) > MOST:
        about += f"; these are the {MOST} worst"
    worst = wrong[np.argsort(predictions.of_true_class[wrong], kind="stable")][:MOST]
    draw_gallery(path, title, about, [_error_tile(predictions, int(i), root, value_range) for i in worst])


def thumbnail(image: Image.Image) -> Pixels:
    """The whole image on a white square of SIDE pixels."""
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    if max(image.size) < SIDE:  # a small image is enlarged without smoothing, so that its pixels stay visible
        factor = SIDE / max(image.size)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.NEAREST)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.asarray(square)


def _error_tile(predictions: Predictions, i: int, root: Path, value_range: Range | None) -> Tile:
    path, label, top = predictions.paths[i], predictions.labels[i], predictions.predicted[i]
    try:
        image = thumbnail(decode(file_of(root, path).read_bytes(), value_range))
    except Exception:  # the file may have been removed; its prediction is still known
        image = np.full((SIDE, SIDE, 3), 225, np.uint8)
    return Tile(
        image,
        (
            (f"is {short(predictions.classes[label], 17)}", "black"),
            (f"said {short(predictions.classes[top], 15)}", "#B34700"),
            (f"with {percent(predictions.probabilities[i, top])}", "#B34700"),
            (short(path.rpartition("/")[2]), GREY),
        ),
    )


def percent(share: float) -> str:
    """A share as text for a tile, with one decimal place if it is close to 1."""
    return f"{100 * share:.1f} %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
