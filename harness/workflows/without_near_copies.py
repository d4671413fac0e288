"""The accuracy on images that have no near copy among the training images."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from harness.evaluation.groups import accuracy_of
from harness.evaluation.predictions import Predictions
from harness.runs.record_parts import NearCopiesRecord


def without_near_copies(predictions: Predictions, paths: Collection[str], leaked: bool) -> NearCopiesRecord | None:
    """Returns how many images have a near copy among the training images, and the accuracy on the others.

    The images to leave out are chosen before any training, by their pixels and their splits. No prediction plays a
    part, so the number is not biased by the choice. But photos taken once may differ from photos taken in series: then
    this accuracy is about another kind of images. The interval is Wilson's, with groups counted as independent, as for
    the accuracy on all images.

    Args:
        predictions: Of all images that the model was evaluated on.
        paths: Of the images that have a near copy among the training images.
        leaked: Whether the model was trained on some of the others. Their accuracy is then too good, and is left out.

    Returns:
        The record; None if none of these images has a near copy.
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
