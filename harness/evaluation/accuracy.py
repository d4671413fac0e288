"""Accuracy with its interval, and a paired test of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIGNIFICANCE = 0.05  # level of a paired test: the difference is significant if p is smaller
Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution: for a two-sided 95 % interval


@dataclass(frozen=True)
class Accuracy:
    """The fraction of right predictions, with its 95 % interval.

    Attributes:
        right: Number of right predictions; a mean if each image has several predictions.
        n: Number of images.
        groups: Number of independent groups of images; None if all images are independent.
        effective: Effective number of independent images, for the interval; None without groups.
    """

    right: float
    n: int
    groups: int | None = None
    effective: float | None = None

    @property
    def value(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        if self.effective is None:
            return wilson_interval(self.right, self.n)
        return wilson_interval(self.value * self.effective, self.effective)

    def __str__(self) -> str:
        low, high = self.interval
        groups = "" if self.groups is None else f" in {self.groups} groups"
        return f"{100 * self.value:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %, n = {self.n}{groups})"


def wilson_interval(right: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Returns Wilson's score interval for a proportion (1927). It works for small n and for proportions near 0 or 1."""
    share, z2 = right / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else min(1.0, centre + half))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the sample standard deviation (n - 1). The deviation is 0 for a single value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def paired_exact_test(better: int, worse: int) -> float:
    """Returns the two-sided p of McNemar's exact test (1947) for two models on the same images.

    p is the probability of this difference, or a larger one, if both models are equally good. `better` is the number of
    images that only the first model has right, `worse` the number that only the second has right.
    """
    n = better + worse
    tail = ways = 1
    for k in range(min(better, worse)):  # from C(n, k) to C(n, k + 1): math.comb would take 20 s for n = 18,000
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, tail / (1 << n) * 2)
