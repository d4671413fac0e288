"""The prediction of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.util.text import short_repr

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Prediction:
    """The predicted probability of each class for one image.

    Attributes:
        classes: Class names, in the order of the model's outputs.
        values: (classes,) float64 probabilities, calibrated with the model's temperature. They sum to 1.
        path: The path of the image; None for an image in memory.

    Example:
        >>> import harness, numpy
        >>> prediction = harness.Prediction(("forest", "sea"), numpy.array([0.25, 0.75]))
        >>> prediction
        Prediction(label='sea', probability=0.75, second='forest' 0.25)
        >>> prediction.is_sure(0.9)
        False
    """

    classes: tuple[str, ...]
    values: Floats = field(compare=False)
    path: str | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.values.argmax())]

    @property
    def probability(self) -> float:
        """The probability of the most probable class, from 0 to 1."""
        return float(self.values.max())

    @cached_property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of each class by name, in the order of the model's outputs."""
        return dict(zip(self.classes, self.values.tolist(), strict=True))

    def top(self, count: int) -> list[tuple[str, float]]:
        """Returns up to `count` pairs of class and probability, the most probable first."""
        order = np.argsort(-self.values, kind="stable")[:count]
        return [(self.classes[i], float(self.values[i])) for i in order]

    def is_sure(self, least: float) -> bool:
        """Whether the probability of the most probable class is at least `least`."""
        return self.probability >= least

    def __repr__(self) -> str:
        second = "".join(f", second={name!r} {value:.3g}" for name, value in self.top(2)[1:])
        path = "" if self.path is None else f", path={self.path!r}"
        return short_repr(self, f"label={self.label!r}, probability={self.probability:.4g}{second}{path}")

    def _repr_html_(self) -> str:
        from harness.report.cards import prediction_card

        return prediction_card(self.top(5), self.path)


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read, and why."""

    path: str
    why: str


Answer = Prediction | Unreadable


def as_row(prediction: Prediction, top: int) -> dict[str, Any]:
    """The most probable classes in columns: label, probability, label_2, probability_2, …"""
    row: dict[str, Any] = {}
    for rank, (name, value) in enumerate(prediction.top(top), 1):
        suffix = "" if rank == 1 else f"_{rank}"
        row |= {f"label{suffix}": name, f"probability{suffix}": value}
    return row
