"""The accuracy on images that have no near copy among the training images."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from harness.evaluation.groups import accuracy_of
from harness.evaluation.predictions import Predictions
from harness.runs.record_parts import NearCopiesRecord


def without_near_copies(predictions: Predictions, paths: Collection[str], leaked: bool) -> NearCopiesRecord | None:
    """Returns how many images have a near copy among the training images, and the accuracy on the others.

    The number is honest because the images to leave out are chosen before any training: by their pixels and by the
    side on which they and their copies are, never by a prediction. It is the accuracy on images of another kind, if
    pictures that were taken once differ from those that were taken in series. The interval is that of the whole
    accuracy: Wilson's, with groups counted as independent.

    Args:
        predictions: Of all images that judge.
        paths: Of those that have a near copy among the training images.
        leaked: Whether some of the others were trained on. Their accuracy is then too good, and is not given.

    Returns:
        The record; None if no image that judges has a near copy.
    """
    is_left = np.array([path not in paths for path in predictions.paths])
    counted = len({*predictions.paths}.intersection(paths))
    if not counted:
        return None
    rest = {path for path in predictions.paths if path not in paths}
    if leaked or not rest:
        return NearCopiesRecord(counted, n=len(rest))
    groups = None if predictions.groups is None else predictions.groups[is_left]
    accuracy = accuracy_of(predictions.right[is_left], groups, len(rest))
    return NearCopiesRecord(counted, accuracy.value, list(accuracy.interval), accuracy.n, accuracy.groups)
