"""How each thing was looked for, for people."""

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
        f"Near copies: perceptual hashes differ in at most {MOST_BITS} of {BITS} bits (fewer in a large data set). "
        f"Then one image is aligned with the other, and the fine detail of {SIDE} × {SIDE} grey values is correlated. "
        "They are copies from a correlation of 0.55, plus 0.015 for each bit. What most images share, such as a frame, "
        f"is removed before. Images with a side below {LEAST_SIDE} pixels are not compared.",
    ]
    if features is not None:
        methods.append(
            f"Same scene: the distance between the features of two images is at most {RATIO} of the usual distance to "
            "their neighbours."
        )
    if has_probabilities:
        methods.append(
            "Labels: confident learning (Northcutt, Jiang and Chuang 2021). Test images are not judged: to change "
            "their labels after seeing a model's answers would make the test too good."
        )
    return [
        *methods,
        "Shortcut: a decision tree on facts of the files of training and validation images, cross-validated.",
        f"Likeness: a logistic regression on {compared} tells the sides apart, cross-validated.",
        "Odd images are beyond a fixed limit and unlike most images of the data set.",
    ]
