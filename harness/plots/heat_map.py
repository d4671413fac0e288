"""A heat map over an image: the colour shows which parts of the image the prediction depends on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import storage_errors
from harness.util.files import write_whole

Bytes = NDArray[np.uint8]
Map = NDArray[np.float64]  # (H, W), from 0 to 1
STRENGTH = 0.5  # opacity of the colours where the map is 1


def write_heat_map(path: Path, image: Bytes, heat: Map) -> None:
    """Writes a JPEG with two halves: the image as the model sees it, and the image under its heat map.

    Raises StorageError.
    """
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    share = STRENGTH * heat[..., None]
    over = (colour * (1 - share) + _colours(heat) * share).round().astype(np.uint8)
    gap = np.full((image.shape[0], max(2, image.shape[1] // 50), 3), 255, np.uint8)
    content = io.BytesIO()
    Image.fromarray(np.hstack([colour, gap, over])).save(content, "JPEG", quality=90)
    with storage_errors(path, "--explain with a folder that can be written"):
        write_whole(path, content.getvalue())


def _colours(heat: Map) -> NDArray[np.float64]:
    """The colours (H, W, 3) from blue over green to red, 0 to 255."""
    import matplotlib

    colours: NDArray[np.float64] = matplotlib.colormaps["turbo"](heat)[..., :3] * 255.0
    return colours
