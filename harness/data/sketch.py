"""A sketch of an image: 32 × 32 grey values, used to find copies that were cropped, resized or saved again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.decode import Raw, to_image

Sketch = NDArray[np.uint8]  # (SIDE, SIDE)

SIDE = 32
RESIZED = Image.Resampling.BILINEAR


def sketch_of(raw: Raw) -> Sketch:
    """Returns (SIDE, SIDE) uint8. Values of more than 8 bits are scaled by the range of this image."""
    if raw.image is not None:
        small = to_image(raw, None, channels=1).resize((SIDE, SIDE), RESIZED, reducing_gap=2)
        return np.asarray(small)
    values: NDArray[Any] = np.nan_to_num(raw.colours.astype(np.float32), posinf=0, neginf=0)
    grey = values.mean(2) if values.ndim == 3 else values
    reduced = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), RESIZED))
    low, high = float(reduced.min()), float(reduced.max())
    scaled = np.zeros((SIDE, SIDE)) if high <= low else (reduced - low) / (high - low)
    return np.asarray(np.rint(255 * (1 - scaled if raw.inverted else scaled)), np.uint8)
