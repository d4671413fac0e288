"""Out-of-fold probabilities of a logistic regression on features, if no run has computed any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.cross_fit import Features, cross_fit_sides, fit_head, one_thread
from harness.evaluation.scores import Indices

MOST = 20_000  # maximum number of images to fit a fold's model


def out_of_fold_probabilities(
    features: Features, labels: Indices, groups: Indices | None = None, *, classes: int, folds: int = 5, seed: int = 0
) -> NDArray[np.float32]:
    """Returns the probability of each class for each image, by a model that was fitted without the image's group.

    The model is a logistic regression on standardised features. Its penalty is chosen by the log loss of an inner
    cross-validation on the training set of a fold. If that has more than 20,000 images, the model is fitted on a random
    sample of 20,000 with the same fraction of each class.

    A row is NaN if the image cannot be predicted: no other image or group has its class, or there is only one class.
    `find_label_suspects` ignores such rows.

    Args:
        features: (N, F) finite; 32 bits are enough.
        labels: (N,) class indices below `classes`.
        groups: (N,) images with the same number, such as copies, are in one fold; None if all are independent.
        classes: K, the number of columns.
        folds: At least 2. With fewer groups than folds, each group is a fold.
        seed: Of the folds and of the random sample.

    Returns:
        (N, K).
    """
    probabilities = np.full((len(labels), classes), np.nan, np.float32)
    with one_thread():
        for training, test in cross_fit_sides(labels, groups, folds, seed):
            head = fit_head(features, labels, groups, training, seed, most=MOST)
            if head is not None:
                known = test[np.isin(labels[test], head.classes)]
                probabilities[known] = head.probabilities(features, known, classes)
    return probabilities
