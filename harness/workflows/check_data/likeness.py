"""Measures how similar training images are to validation and test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.appearance import Appearance
from harness.data.groups import Groups
from harness.data.images import Side
from harness.data.sketch import SIDE
from harness.evaluation.two_samples import tell_apart
from harness.runs.data_check_record import SidesRecord
from harness.training.image_features import ImageFeatures
from harness.workflows.check_data.gather import Gathered

COARSE = 8  # rows and columns of the grey values that are compared if there are no features


def likeness_of_sides(
    data: Gathered, features: ImageFeatures | None, appearance: Appearance, groups: Groups | None
) -> list[SidesRecord]:
    """Compares training images with validation and test images, by features or otherwise by simple numbers."""
    sound = np.array(data.sound, np.int64)
    values = _plain_numbers(data, appearance)[sound] if features is None else features.values
    places = {int(image): row for row, image in enumerate(sound)}
    rows = {side: np.array([places[i] for i in data.of_side(side) if i in places], np.int64) for side in Side}
    numbers = np.arange(len(data.images)) if groups is None else groups
    records = []
    for side in (Side.VALID, Side.TEST):
        pair = (rows[Side.TRAIN], rows[side])
        if not all(map(len, pair)):
            continue
        own = (numbers[sound[pair[0]]], numbers[sound[pair[1]]])
        found = tell_apart(values[pair[0]], values[pair[1]], data.experiment.seed, own)
        if found is not None:
            records.append(SidesRecord(Side.TRAIN.value, side.value, found.value, list(found.interval), found.n))
    return records


def _plain_numbers(data: Gathered, appearance: Appearance) -> NDArray[np.float32]:
    """(N, F) numbers that need no model: the appearance of each image, and COARSE × COARSE grey values."""
    sketches = data.check.sketches
    step = SIDE // COARSE
    coarse = sketches.reshape(-1, COARSE, step, COARSE, step).mean((2, 4)).reshape(len(sketches), -1)
    columns = [np.nan_to_num(np.asarray(column, np.float64)) for column in appearance]
    return np.column_stack([*columns, coarse]).astype(np.float32)
