"""Metrics by name. Each is one number for a set of predictions.

A metric takes `labels` (N,), true class indices, and `probabilities` (N, C), softmax outputs. It returns None if it is
undefined. Of equal probabilities, the class with the lower index comes first, as in `argmax`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.errors import UsageError, nearest
from harness.evaluation.blocks import blocks
from harness.evaluation.calibration import calibration_error
from harness.evaluation.scores import Floats, Indices, log_loss

Metric = Callable[[Indices, Floats], float | None]  # (labels (N,), probabilities (N, C)) -> a number
TOP_K = re.compile(r"top([1-9]\d{0,8})_accuracy")
HEADLINE_K = 5  # as in ImageNet's top-5 error (Russakovsky et al. 2015), so that numbers can be compared


@dataclass(frozen=True)
class NamedMetric:
    """A metric: call it with `labels` (N,) and `probabilities` (N, C).

    Attributes:
        name: Its name, such as "macro_f1".
        function: Computes it; needs at least one image.
    """

    name: str
    function: Metric

    def __call__(self, labels: Indices, probabilities: Floats) -> float | None:
        """Returns the metric, or None if it is undefined. It is always undefined without images."""
        return self.function(labels, probabilities) if len(labels) else None


def metric_named(name: str, classes: int) -> NamedMetric:
    """Returns the metric of that name for a number of classes.

    Raises:
        UsageError: There is no such metric, or its K is not between 2 and `classes` - 1.
    """
    if name in METRICS:
        return METRICS[name]
    top = TOP_K.fullmatch(name)
    if top is None:
        known = metric_names(classes)
        what = f"there is no metric {name!r}{nearest(name, known)}"
        raise UsageError(what, f"the metrics for {classes} classes: {', '.join(known)}", "-s metrics=macro_f1,log_loss")
    k = int(top[1])
    if not 2 <= k < classes:
        always_right = f"with {classes} classes, the true class is always among the {k} most probable ones"
        fix = f"use a K from 2 to {classes - 1}, or accuracy" if classes > 2 else "use accuracy"
        raise UsageError(f"{name!r} is not useful here", "it is the accuracy" if k == 1 else always_right, fix)
    return NamedMetric(name, partial(top_k_accuracy, k=k))


def metric_names(classes: int) -> tuple[str, ...]:
    """Returns the names of metrics for a number of classes; for top-K only K of 2, 3 and HEADLINE_K."""
    return (*METRICS, *(f"top{k}_accuracy" for k in (2, 3, HEADLINE_K) if k < classes))


def headline_metrics(classes: int) -> tuple[str, ...]:
    """Returns the names of the metrics that are shown with the accuracy.

    Top-5 accuracy is included if there are more than five classes. With fewer classes, a top-K accuracy is near 1 for
    nearly every model; it is computed only on request.
    """
    ranking = (f"top{HEADLINE_K}_accuracy",) if classes > HEADLINE_K else ()
    return ("balanced_accuracy", "macro_f1", "log_loss", "brier", "roc_auc", *ranking, "calibration_error")


def scores_of(labels: Indices, probabilities: Floats) -> dict[str, float | None]:
    """Returns the headline metrics of a set of predictions; keys are names, and None is an undefined metric.

    100,000 images of 1,000 classes take 4 seconds on one core, and 0.1 GB in addition to the probabilities.

    Args:
        labels: (N,) true class indices.
        probabilities: (N, C).
    """
    classes = probabilities.shape[1]
    return {name: metric_named(name, classes)(labels, probabilities) for name in headline_metrics(classes)}


def accuracy(labels: Indices, probabilities: Floats) -> float:
    """Returns the fraction of images whose most probable class is the true one."""
    return float((probabilities.argmax(1) == labels).mean())


def balanced_accuracy(labels: Indices, probabilities: Floats) -> float:
    """Returns the mean recall of the classes that have images, as scikit-learn does; with one class, its recall."""
    from sklearn.metrics import recall_score

    present = np.unique(labels)  # balanced_accuracy_score warns if an absent class is predicted
    return float(recall_score(labels, probabilities.argmax(1), labels=present, average="macro", zero_division=0))


def macro_f1(labels: Indices, probabilities: Floats) -> float:
    """Returns the mean F1 of the classes that have images or are predicted, as scikit-learn does.

    A class that is predicted but has no images has an F1 of 0. A class that is neither is left out.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(1), average="macro", zero_division=0))


def brier(labels: Indices, probabilities: Floats) -> float:
    """Returns Brier's score in its original form (1950): the mean of Σ_c (p_c - y_c)², from 0 to 2.

    It is `brier_score_loss(..., scale_by_half=False)` of scikit-learn. With two classes it is twice the other common
    form, (p_1 - y_1)², which is the default of `brier_score_loss`.
    """
    total = 0.0
    for rows in blocks(*probabilities.shape):
        gaps = np.array(probabilities[rows], np.float64)
        gaps[np.arange(len(gaps)), labels[rows]] -= 1
        total += float(np.einsum("ij,ij->", gaps, gaps))
    return total / len(labels)


def roc_auc(labels: Indices, probabilities: Floats) -> float | None:
    """Returns the area under the ROC curve; for three classes or more, the mean of each class against the others.

    Take a random image of the class and one of another class. The area is the probability that the first has the higher
    probability for the class, with half of the ties (Mann and Whitney 1947; Hanley and McNeil 1982). None if a class
    has no images: then its area is undefined, and the mean of the others would be a different quantity.

    `roc_auc_score` of scikit-learn gives the same number. But it refuses rows that do not sum to 1, and takes 30
    seconds for 100,000 x 1,000, because it builds each curve. This function sorts each column and looks up the images
    of the class: 2 seconds.
    """
    count, classes = probabilities.shape
    numbers = np.bincount(labels, minlength=classes)
    if classes < 2 or not numbers.all():
        return None
    areas = []
    for columns in blocks(classes, count):
        for c, column in enumerate(np.array(probabilities[:, columns].T, order="C"), columns.start):
            own, number = column[labels == c], int(numbers[c])
            column.sort()
            ranks = np.searchsorted(column, own, "left") + np.searchsorted(column, own, "right")
            areas.append((ranks.sum() / 2 - number**2 / 2) / (number * (count - number)))
    return float(areas[1] if classes == 2 else np.mean(areas))


def top_k_accuracy(labels: Indices, probabilities: Floats, k: int) -> float:
    """Returns the fraction of images whose true class is among the `k` most probable ones.

    `top_k_accuracy_score` of scikit-learn prefers the last of equal probabilities, so its top 1 is not the accuracy.
    """
    hits, places = 0, np.arange(probabilities.shape[1])
    for rows in blocks(*probabilities.shape):
        part, true = probabilities[rows], labels[rows, None]
        own = np.take_along_axis(part, true, 1)
        better = (part > own).sum(1) + ((part == own) & (places < true)).sum(1)
        hits += int((better < k).sum())
    return hits / len(labels)


METRICS = {
    metric.name: metric
    for metric in (
        NamedMetric("accuracy", accuracy),
        NamedMetric("balanced_accuracy", balanced_accuracy),
        NamedMetric("macro_f1", macro_f1),
        NamedMetric("log_loss", log_loss),
        NamedMetric("brier", brier),
        NamedMetric("roc_auc", roc_auc),
        NamedMetric("calibration_error", calibration_error),
    )
}
