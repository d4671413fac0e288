"""Metrics of a set of predictions, by name."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import UsageError, nearest
from harness.evaluation.scores import Floats, Indices, log_loss

Metric = Callable[[Indices, Floats], float | None]  # (labels (N,), probabilities (N, C)) -> a number


def metric_named(name: str, classes: int) -> Metric:
    """The metric of that name. Raises UsageError for an unknown one."""
    known: dict[str, Metric] = {"log_loss": log_loss, "macro_f1": _macro_f1}
    if name not in known:
        raise UsageError(
            f"there is no metric {name!r}{nearest(name, known)}",
            f"of {classes} classes: {', '.join(known)}",
            "-s metrics=",
        )
    return known[name]


def _macro_f1(labels: Indices, probabilities: Floats) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(1), average="macro", zero_division=0.0))
