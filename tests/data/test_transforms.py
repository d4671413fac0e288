from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from harness.data.demo import draw
from harness.data.prepare import Preparation
from harness.data.transforms import Transform, augmentation, augmented, seeded
from harness.errors import UserCodeError


def test_normalise_centres_a_resized_image() -> None:
    transform = Transform(Preparation(32))
    square = Preparation(32).array(Image.new("RGB", (80, 20), (124, 116, 104)))
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8
    normal = transform.normalise(torch.from_numpy(square).permute(2, 0, 1)[None])
    assert normal.dtype == torch.float32
    assert normal.abs().max() < 0.02  # the mean colour of ImageNet becomes zero
    white = Transform(Preparation(32), mean=(0.5,) * 3, std=(0.25,) * 3).normalise(
        torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    )
    torch.testing.assert_close(white, torch.full((1, 3, 2, 2), 2.0))


def picture() -> Tensor:
    return torch.from_numpy(Preparation(48).array(draw("train", "sea", 0))).permute(2, 0, 1)


@pytest.mark.parametrize("kind", ["flip", "standard"])
def test_augmentation_changes_images_and_keeps_their_shape(kind: str) -> None:
    augment = augmentation(kind, Preparation(48))
    assert augment is not None
    seen = []
    for number in range(12):
        with seeded(0, 1, number):
            seen.append(augment(picture()))
    assert {(image.shape, image.dtype) for image in seen} == {((3, 48, 48), torch.uint8)}
    distinct = {image.numpy().tobytes() for image in seen}
    assert len(distinct) == 2 if kind == "flip" else len(distinct) == 12


def test_augmentation_returns_none_and_a_users_function_unchanged() -> None:
    assert augmentation(None, Preparation(48)) is None
    assert augmentation(torch.flipud, Preparation(48)) is torch.flipud


def test_seeded_depends_on_the_seed_and_restores_the_generators() -> None:
    def draws() -> tuple[float, float, float]:
        return torch.rand(1).item(), float(np.random.rand()), random.random()

    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = draws()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    with seeded(1, 2, 3):
        first = draws()
    assert draws() == expected
    with seeded(1, 2, 3):
        assert draws() == first
    with seeded(1, 2, 4):
        assert draws() != first


def test_augmented_resizes_or_refuses_the_result_of_a_users_function(tmp_path: Path) -> None:
    assert augmented(lambda image: image[:, :20], picture(), Preparation(48)).shape == (3, 48, 48)
    for wrong in (picture().float(), picture()[0], None):
        with pytest.raises(UserCodeError, match="it must return a uint8 tensor"):
            augmented(lambda image, returned=wrong: returned, picture(), Preparation(48))


def test_augmented_refuses_colour_for_a_grey_image() -> None:
    """As in yolov3 625."""
    grey = Preparation(48, channels=1)
    image = torch.zeros(1, 48, 48, dtype=torch.uint8)
    assert augmented(augmentation("standard", grey) or torch.flip, image, grey).shape == (1, 48, 48)
    with pytest.raises(UserCodeError) as caught:
        augmented(lambda image: image.expand(3, 48, 48), image, grey)
    assert "(1, H, W)" in caught.value.why
