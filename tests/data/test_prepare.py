from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from harness.config.experiment import Experiment
from harness.data.prepare import Preparation, preparation_from, preparation_of
from harness.errors import UsageError

WIDE = Image.fromarray(  # a grey band on the left, a white middle, a black band on the right: 160 x 90
    np.repeat(np.concatenate([np.full(35, 128), np.full(90, 255), np.zeros(35)])[None, :, None], 90, 0)
    .repeat(3, 2)
    .astype(np.uint8)
)


def test_array_with_squash_crop_and_pad() -> None:
    squashed, cropped, padded = (Preparation(32, resize=how).array(WIDE)[:, :, 0] for how in ("squash", "crop", "pad"))
    assert [array.shape for array in (squashed, cropped, padded)] == [(32, 32)] * 3
    assert (squashed[16, 0], squashed[16, 16], squashed[16, 31]) == (128, 255, 0)
    assert (cropped[:, 1:-1] == 255).all()  # the outermost columns mix with the pixels beyond the crop
    assert (padded[:7] == 255).all()  # the background
    assert padded[7:25, 1].tolist() == [128] * 18
    assert (padded[25:] == 255).all()


def test_array_of_any_height_and_width() -> None:
    preparation = Preparation((18, 32), resize="crop")
    assert preparation.shape == (3, 18, 32)
    array = preparation.array(WIDE)
    assert array.shape == (18, 32, 3)
    assert (array[9, 0, 0], array[9, 16, 0], array[9, 31, 0]) == (128, 255, 0)  # the same proportions: nothing is cut
    assert Preparation((18, 32), resize="pad").array(WIDE).tolist() == array.tolist()


def test_array_with_pad_fills_with_the_background() -> None:
    tall = Image.new("RGB", (10, 40), "red")
    array = Preparation(40, resize="pad", background="#0000ff").array(tall)
    assert array[20, 0].tolist() == [0, 0, 255]
    assert array[20, 20].tolist() == [255, 0, 0]
    grey = Preparation(40, resize="pad", background="black", channels=1).array(tall.convert("L"))
    assert grey.shape == (40, 40, 1)
    assert (grey[20, 0, 0], grey[20, 20, 0]) == (0, 76)


def test_array_does_not_change_an_image_of_the_right_size() -> None:
    for how in ("squash", "crop", "pad"):
        assert (Preparation((90, 160), resize=how).array(WIDE) == np.array(WIDE)).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_array_without_antialias_equals_the_result_of_torch(interpolation: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    ours = Preparation((20, 30), interpolation=interpolation, antialias=False).array(Image.fromarray(noise))
    values = torch.from_numpy(noise).permute(2, 0, 1)[None].float()
    theirs = functional.interpolate(values, size=(20, 30), mode=interpolation, align_corners=False)[0]
    assert np.abs(ours - theirs.permute(1, 2, 0).numpy().clip(0, 255)).max() <= 0.5
    smooth = Preparation((20, 30), interpolation=interpolation).array(Image.fromarray(noise))
    assert smooth.std() < ours.std()


def test_array_interpolates_like_pillow() -> None:
    for name in ("nearest", "lanczos", "bicubic"):
        expected = np.array(WIDE.resize((48, 48), Image.Resampling[name.upper()]))
        assert (Preparation(48, interpolation=name).array(WIDE) == expected).all()


def test_array_of_extreme_shapes() -> None:
    line = Image.new("RGB", (4000, 1), "red")
    for how in ("squash", "crop", "pad"):
        array = Preparation(16, resize=how).array(line)
        assert array.shape == (16, 16, 3)
        assert [255, 0, 0] in array.reshape(-1, 3).tolist()


def test_preparation_of_an_experiment_and_back_from_a_checkpoint() -> None:
    experiment = Experiment(image_size=(48, 64), resize="pad", channels=1, background="black", antialias=False)
    preparation = preparation_of(experiment).with_range((0, 4095))
    assert preparation_from(preparation.to_dict()) == preparation
    assert preparation.shape == (1, 48, 64)
    assert preparation_from({"image_size": 64, "mean": [0, 0, 0]}) == Preparation(
        64, value_range=(0, 65535)
    )  # of 0.1.0


def test_preparation_of_refuses_lanczos_without_antialias() -> None:
    with pytest.raises(UsageError, match="lanczos is not possible with antialias=false"):
        preparation_of(Experiment(interpolation="lanczos", antialias=False))
