"""Images of noise, for checks without photographs, and the background colour as numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageColor

from harness.data.prepare import Bytes, Preparation

SIDES = ((75, 100), (333, 250), (64, 64), (480, 640))  # heights and widths, in pixels


def noise_images(preparation: Preparation, count: int) -> Bytes:
    """(count, C, H, W) images of noise, the same in each call."""
    return np.random.default_rng(0).integers(0, 256, (count, *preparation.shape), np.uint8)


def noise_pictures(preparation: Preparation) -> Iterator[tuple[Bytes, Bytes]]:
    """Pairs of an image of noise (h, w, C), each with another size, and the same image prepared, (H, W, C)."""
    random = np.random.default_rng(1)
    for sides in SIDES:
        noise = random.integers(0, 256, (*sides, preparation.channels), np.uint8)
        picture = Image.fromarray(noise.squeeze(2) if preparation.channels == 1 else noise)
        yield noise, preparation.array(picture)


def background_values(preparation: Preparation) -> tuple[int, ...]:
    """(C,) the background colour around a padded image, from 0 to 255 per channel."""
    colour = ImageColor.getcolor(preparation.background, "RGB" if preparation.channels == 3 else "L")
    return colour if isinstance(colour, tuple) else (colour,)
