"""A world with known truth: random features, their classes, and 100,000 examples that are never in a training set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HIDDEN = 100_000
FEATURES = 12
SIGNAL = 3  # features that differ between the classes; the others are noise


@dataclass(frozen=True)
class World:
    """Two normally distributed classes; some labels are random.

    Attributes:
        distance: Distance between the class means, in standard deviations.
        noise: Share of labels drawn at random; with 1, labels have no meaning.
        shared: Share of the variance that is equal within a group.
        equal: Whether each label has the same number of groups when all labels are random.
    """

    distance: float
    noise: float = 0.0
    shared: float = 0.0
    equal: bool = False

    def draw(self, count: int, generator: torch.Generator, size: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, F), labels (N,) and groups (N,) of `count` examples. Each group has one class."""
        groups = torch.arange(count) // size
        number = int(groups[-1]) + 1
        classes = torch.randint(0, 2, (number,), generator=generator)
        common = torch.randn(number, FEATURES, generator=generator)
        own = torch.randn(count, FEATURES, generator=generator)
        features = self.shared**0.5 * common[groups] + (1 - self.shared) ** 0.5 * own
        features[:, :SIGNAL] += (classes[groups].float()[:, None] - 0.5) * self.distance / SIGNAL**0.5
        coins = torch.rand(number, generator=generator) < self.noise
        drawn = torch.randint(0, 2, (number,), generator=generator)
        if self.equal:
            drawn = torch.randperm(number, generator=generator) % 2
        return features, torch.where(coins, drawn, classes)[groups], groups
