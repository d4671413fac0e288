"""Describes the method of each check, for the page."""

from __future__ import annotations

from harness.data.near_copies import BITS, LEAST_SIDE, MOST_BITS
from harness.data.sketch import SIDE
from harness.evaluation.same_scene import RATIO
from harness.training.image_features import ImageFeatures


def texts(features: ImageFeatures | None, has_probabilities: bool) -> list[str]:
    """A sentence or two about each method, with its thresholds."""
    compared = "features of the model" if features is not None else "brightness, contrast, blur and coarse grey values"
    methods = [
        "Exact copies have the same bytes or the same decoded pixels.",
        f"Near copies: their perceptual hashes differ in at most {MOST_BITS} of {BITS} bits (fewer in a large data "
        f"set). One image is then aligned with the other, and the fine detail of {SIDE} × {SIDE} grey values is "
        "correlated. A pair is a near copy if the correlation is at least 0.55, plus 0.015 for each differing bit. "
        "Parts that most images share, such as a frame, are removed first. "
        f"Images with a side below {LEAST_SIDE} pixels are not compared.",
    ]
    if features is not None:
        methods.append(
            f"Same scene: the distance between the features of two images is at most {RATIO} of the usual distance to "
            "their neighbours."
        )
    if has_probabilities:
        methods.append(
            "Labels: confident learning (Northcutt, Jiang and Chuang 2021). Test labels are not checked: corrections "
            "guided by a model would make its test accuracy too good."
        )
    return [
        *methods,
        "Shortcut: a cross-validated decision tree predicts the class from facts of the files, without test images.",
        f"Likeness: a cross-validated logistic regression on {compared} predicts the split.",
        "Odd images exceed a fixed limit, and differ from most images of the data set.",
    ]
