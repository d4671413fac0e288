"""A world with known truth: generated features, their classes, and 100,000 examples that no model is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HIDDEN = 100_000
FEATURES = 12
SIGNAL = 3  # features that tell the classes apart; the others are noise


@dataclass(frozen=True)
class World:
    """Two classes, each a normal distribution; a share of the labels is wrong.

    Attributes:
        distance: Between the means of the classes, in standard deviations.
        noise: Share of labels that are drawn by a coin: 1 is labels without any meaning.
        shared: Share of the variance that the examples of a group have in common.
        equal: Whether a data set has equally many groups of each label, if coins draw all labels.
    """

    distance: float
    noise: float = 0.0
    shared: float = 0.0
    equal: bool = False

    def draw(self, count: int, generator: torch.Generator, size: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """(features (N, F), labels (N,), groups (N,)) of `count` examples in groups of `size`, each of one class."""
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
