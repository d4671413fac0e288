from __future__ import annotations

import numpy as np

from harness.data.noise import background_values, noise_images, noise_pictures
from harness.data.prepare import Preparation


def test_noise_images_are_always_equal_and_use_all_values() -> None:
    preparation = Preparation((24, 40), channels=1)
    images = noise_images(preparation, 3)
    assert images.shape == (3, 1, 24, 40)
    assert images.min() == 0
    assert images.max() == 255
    np.testing.assert_array_equal(images, noise_images(preparation, 3))


def test_noise_pictures_are_prepared_like_other_images() -> None:
    for channels in (1, 3):
        preparation = Preparation((24, 40), "pad", channels=channels, background="#1080f0")
        pairs = list(noise_pictures(preparation))
        assert len({picture.shape for picture, _ in pairs}) == 4
        assert {prepared.shape for _, prepared in pairs} == {(24, 40, channels)}
        assert pairs[2][1][0, 0].tolist() == list(background_values(preparation))  # the square one is padded


def test_background_values_equal_the_padding_of_pillow() -> None:
    assert background_values(Preparation(background="#1080f0")) == (16, 128, 240)
    assert background_values(Preparation(background="white", channels=1)) == (255,)
