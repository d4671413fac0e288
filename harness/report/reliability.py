"""A reliability chart: the accuracy of a model by its confidence."""

from __future__ import annotations

import numpy as np

from harness.evaluation.calibration import calibration
from harness.report.answers import Answers
from harness.report.charts import Chart, horizontal, ticks, vertical
from harness.report.texts import between, percent


def reliability_chart(answers: Answers) -> Chart:
    """Returns a chart of accuracy by confidence, with 95 % intervals. There must be at least one prediction."""
    # The chart only needs whether a prediction is right, so two columns are enough for any number of classes.
    shares = np.stack([answers.confidence, np.zeros(len(answers))], 1)
    bins = calibration((~answers.right).astype(np.int64), shares, answers.groups)
    low = min(float(bins.confidence.min()), float(bins.intervals.min()))
    low = max(0.0, np.floor(low * 10) / 10)
    values = ticks(low, 1.0)
    chart = Chart(
        title="Reliability",
        about=f"The mean difference between confidence and accuracy is {percent(bins.error)} "
        f"(95 % interval {between(bins.interval)}). A calibrated model shows {percent(bins.chance)} by chance.",
        x=horizontal(low, 1.0),
        y=vertical(low, 1.0),
        x_label="probability of the predicted class (%)",
        y_label="accuracy (%)",
        x_ticks=[(value, f"{100 * value:.0f}") for value in values],
        y_ticks=[(value, f"{100 * value:.0f}") for value in values],
        key=[("valid", "the model, with 95 % intervals"), ("guide", "perfect calibration")],
    )
    chart.rule((low, low), (1.0, 1.0), "guide")
    points = []
    for sure, right, n, (bottom, top) in zip(
        bins.confidence.tolist(), bins.right.tolist(), bins.counts.tolist(), bins.intervals.tolist(), strict=True
    ):
        chart.rule((sure, bottom), (sure, top), "valid")
        points.append((sure, right / n))
    if len(points) > 1:
        chart.line(points, "valid")
    for (sure, share), n in zip(points, bins.counts.tolist(), strict=True):
        chart.dot(sure, share, "valid", says=f"{n} images: confidence {percent(sure)}, accuracy {percent(share)}")
    return chart
