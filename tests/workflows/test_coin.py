"""Random labels: an accuracy above 50 % would mean that something was chosen on the validation images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.config.experiment import Experiment
from harness.workflows.crossval import CrossValidation, cross_validate

SETS, IMAGES = 5, 200
TOLERANCE = 0.035  # for the mean of five data sets; one set deviates by about 4 points


def draw_noise(folder: Path, seed: int, copies: int) -> Path:
    """200 images of noise in the folders of two random classes; each image `copies` times."""
    random = np.random.default_rng(seed)
    for name in ("heads", "tails"):
        (folder / name).mkdir(parents=True)
    for number in range(IMAGES):
        name = ("heads", "tails")[random.integers(2)]
        first = folder / name / f"{number:03d}.png"
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(first)
        for copy in range(1, copies):
            shutil.copy(first, first.with_stem(f"{number:03d}-{copy}"))
    return folder


def judge(folder: Path, seed: int, copies: int, **fields: Any) -> CrossValidation:
    """Cross-validates one data set."""
    values = {"model": "small_cnn", "weights": None, "image_size": 16, "folds": 3, "batch_size": 20, "epochs": 8}
    values |= {"lr": 0.005, "precision": "fp32", "seed": seed, "trackers": ()}
    data = draw_noise(folder / "data", seed, copies)
    return cross_validate(Experiment(name="coin", data=str(data), **(values | fields)), runs=folder / "runs")


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2])
def test_cross_validate_of_random_labels_is_right_on_50_percent(tmp_path: Path, copies: int) -> None:
    results = [judge(tmp_path / str(seed), seed, copies) for seed in range(SETS)]
    for result in results:
        assert result.accuracy.n == IMAGES * copies
        assert result.accuracy.groups == (None if copies == 1 else IMAGES)
    assert np.mean([result.accuracy.value for result in results]) == pytest.approx(0.5, abs=TOLERANCE)
    # the best epochs of the same fits are outside this range, so the test distinguishes the two rules
    assert np.mean([result.best_on_curves for result in results]) > 0.5 + TOLERANCE
