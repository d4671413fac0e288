"""The gate of a model: minimum values for its accuracy or balanced accuracy, and for the recall of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.errors import UsageError, nearest
from harness.evaluation.groups import accuracy_of
from harness.evaluation.predictions import Predictions

ACCURACY, BALANCED = "accuracy", "balanced_accuracy"
Recall = tuple[float, tuple[float, float]]  # with its 95 % interval


@dataclass(frozen=True)
class Gate:
    """The requirements for a model.

    Attributes:
        least: The minimum value of the metric; None for that of the experiment.
        metric: ACCURACY or BALANCED.
        recalls: Class -> minimum recall.
        confident: Whether the lower end of each 95 % interval must pass, and not only the value.
    """

    least: float | None = None
    metric: str = ACCURACY
    recalls: Mapping[str, float] = field(default_factory=dict)
    confident: bool = False

    def require_classes(self, known: Sequence[str]) -> None:
        """Raises UsageError if the gate names an unknown class."""
        for name in self.recalls:
            if name not in known:
                raise UsageError(
                    f"there is no class {name!r}{nearest(name, known)}",
                    f"the classes are {', '.join(known)}",
                    f"--min-recall {known[0]}=0.9",
                )


@dataclass(frozen=True)
class Floor:
    """One number with its minimum.

    Attributes:
        name: "accuracy", "balanced accuracy", or "recall of sea".
        value: None if there is no image.
        interval: 95 %.
        least: The minimum.
        confident: Whether the lower end of the interval must pass.
    """

    name: str
    value: float | None
    interval: tuple[float, float]
    least: float
    confident: bool = False

    @property
    def passed(self) -> bool:
        """Whether the value, or the lower end of its interval, is at least the minimum."""
        return self.value is not None and (self.interval[0] if self.confident else self.value) >= self.least

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval is at least the minimum."""
        return self.value is not None and self.interval[0] >= self.least

    def __str__(self) -> str:
        """For example "accuracy 71.4 % >= 70 % (95 % interval 54.9 to 83.7 %)"."""
        if self.value is None:
            return f"{self.name}: no image of this class"
        low, high = (100 * bound for bound in self.interval)
        interval = f"95 % interval {low:.1f} to {high:.1f} %"
        compared = self.interval[0] if self.confident else self.value
        text, least = distinct_percents(compared, self.least)
        verb = ">=" if self.passed else "is below"
        if self.confident:
            return f"{self.name} {100 * self.value:.1f} % ({interval}): the lower end {text} {verb} {least}"
        return f"{self.name} {text} {verb} {least} ({interval})"


def distinct_percents(value: float, least: float) -> tuple[str, str]:
    """Returns both as percentages, with enough decimals to show whether they differ."""
    for decimals in range(1, 12):
        texts = f"{100 * value:.{decimals}f} %", f"{100 * least:.{decimals}f} %"
        if texts[0] != texts[1] or value == least:
            break
    return texts


def judge(predictions: Predictions, gate: Gate) -> tuple[Floor, ...]:
    """Evaluates the gate, which must have a minimum. Returns each requirement with its value, the metric's first.

    The model passes if all of them pass.
    """
    assert gate.least is not None
    known = predictions.classes
    recalls = _recalls(predictions)
    accuracy = predictions.accuracy
    value: float | None
    value, interval = (accuracy.value, accuracy.interval) if gate.metric == ACCURACY else _balanced(recalls)
    floors = [Floor(gate.metric.replace("_", " "), value, interval, gate.least, gate.confident)]
    for name, least in gate.recalls.items():
        recall = recalls[known.index(name)]
        value, interval = recall or (None, (0.0, 1.0))
        floors.append(Floor(f"recall of {name}", value, interval, least, gate.confident))
    return tuple(floors)


def _recalls(predictions: Predictions) -> list[Recall | None]:
    """Returns (recall, its interval) of each class; None for a class without images."""
    recalls: list[Recall | None] = []
    for label in range(len(predictions.classes)):
        chosen = np.flatnonzero(predictions.labels == label)
        if not len(chosen):
            recalls.append(None)
            continue
        groups = None if predictions.groups is None else predictions.groups[chosen]
        recall = accuracy_of(predictions.right[chosen], groups, len({predictions.paths[i] for i in chosen}))
        recalls.append((recall.value, recall.interval))
    return recalls


def _balanced(recalls: list[Recall | None]) -> Recall:
    """Returns the mean recall of the classes that have images, with its interval.

    The interval combines those of the classes, which are independent (MOVER: Zou and Donner 2008, Statistics in
    Medicine 27). The distance of each end from the mean is the root of the sum of the squared distances.
    """
    known = [recall for recall in recalls if recall is not None]
    count = len(known)
    mean = sum(value for value, _ in known) / count
    below = math.sqrt(sum((value - low) ** 2 for value, (low, _) in known)) / count
    above = math.sqrt(sum((high - value) ** 2 for value, (_, high) in known)) / count
    return mean, (max(0.0, mean - below), min(1.0, mean + above))
