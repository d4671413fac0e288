"""Whether a model is right as often as its probabilities say, as a chart."""

from __future__ import annotations

import numpy as np

from harness.evaluation.calibration import calibration
from harness.report.answers import Answers
from harness.report.charts import Chart, horizontal, ticks, vertical
from harness.report.texts import between, percent


def reliability_chart(answers: Answers) -> Chart:
    """Accuracy by confidence, with 95 % intervals; there must be one prediction at least."""
    # The class of an image is of no matter here, only whether it is right: two columns do for any number of classes.
    shares = np.stack([answers.confidence, np.zeros(len(answers))], 1)
    found = calibration((~answers.right).astype(np.int64), shares, answers.groups)
    low = min(float(found.confidence.min()), float(found.intervals.min()))
    low = max(0.0, np.floor(low * 10) / 10)
    values = ticks(low, 1.0)
    chart = Chart(
        title="Reliability",
        about=f"The mean gap between confidence and accuracy is {percent(found.error)} "
        f"(95 % interval {between(found.interval)}); a calibrated model shows {percent(found.chance)} by chance.",
        x=horizontal(low, 1.0),
        y=vertical(low, 1.0),
        x_label="probability of the predicted class (%)",
        y_label="predicted right (%)",
        x_ticks=[(value, f"{100 * value:.0f}") for value in values],
        y_ticks=[(value, f"{100 * value:.0f}") for value in values],
        key=[("valid", "the model, with 95 % intervals"), ("guide", "as sure as it is right")],
    )
    chart.rule((low, low), (1.0, 1.0), "guide")
    points = []
    for sure, right, n, (bottom, top) in zip(
        found.confidence.tolist(), found.right.tolist(), found.counts.tolist(), found.intervals.tolist(), strict=True
    ):
        chart.rule((sure, bottom), (sure, top), "valid")
        points.append((sure, right / n))
    if len(points) > 1:
        chart.line(points, "valid")
    for (sure, share), n in zip(points, found.counts.tolist(), strict=True):
        chart.dot(sure, share, "valid", says=f"{n} images: {percent(sure)} sure, {percent(share)} right")
    return chart
