from __future__ import annotations

import numpy as np
from PIL import Image

from harness.data.decode import read
from harness.data.sketch import SIDE, sketch_of
from tests.data.files import file_of


def gradient(dtype: type, high: float) -> Image.Image:
    return Image.fromarray(np.linspace(0, high, 64 * 64).reshape(64, 64).astype(dtype))


def test_sketch_of_is_the_same_for_8_and_16_bits() -> None:
    eight = sketch_of(read(file_of(gradient(np.uint8, 255))))
    twelve = sketch_of(read(file_of(gradient(np.uint16, 4095))))
    assert eight.shape == (SIDE, SIDE)
    assert np.corrcoef(eight.ravel(), twelve.ravel())[0, 1] > 0.999


def test_sketch_of_shows_transparent_pixels_on_white() -> None:
    image = Image.new("RGBA", (50, 40), (0, 0, 0, 0))
    assert (sketch_of(read(file_of(image))) == 255).all()


def test_sketch_of_a_constant_image_of_16_bits_is_black() -> None:
    constant = Image.fromarray(np.full((20, 20), 700, np.uint16))
    assert (sketch_of(read(file_of(constant))) == 0).all()


def test_sketch_of_an_image_of_one_pixel() -> None:
    assert (sketch_of(read(file_of(Image.new("RGB", (1, 1), "white")))) == 255).all()
