"""Metrics of an epoch: means over examples, summed on the device and read once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]  # (logits, targets) -> one number per example, shape (B,)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """1 for each example whose highest logit is its target, else 0. Shapes (B, classes), (B,) -> (B,)."""
    return (logits.argmax(1) == targets).float()


class Means:
    """Means over the examples of one phase, kept as sums on the device until `read`."""

    def __init__(self, metrics: Mapping[str, Metric], device: torch.device) -> None:
        self._metrics = metrics
        self._sums = torch.zeros(1 + len(metrics), device=device, dtype=_widest(device))
        self._examples = 0
        self._started = time.perf_counter()

    def add(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Adds a batch. `loss` is the batch's mean, so that a short batch counts for the examples it has."""
        examples = len(targets)
        self._examples += examples
        scores = [metric(logits, targets).sum() for metric in self._metrics.values()]
        self._sums += torch.stack([loss * examples, *scores])

    def read(self, prefix: str) -> dict[str, float]:
        """The means, the examples, and the seconds since the phase began. Waits for the device."""
        names = ("loss", *self._metrics)
        row = {
            prefix + name: total / max(self._examples, 1)
            for name, total in zip(names, self._sums.tolist(), strict=True)
        }
        return row | {prefix + "examples": self._examples, prefix + "seconds": time.perf_counter() - self._started}


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no 64-bit floats
