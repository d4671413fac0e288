"""Metrics of an epoch: means over examples, summed on the device and read once; and what their names tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness.engine.counts import count_examples
from harness.engine.return_checks import require_logits_for_accuracy, require_scores
from harness.errors import UsageError, nearest

Metric = Callable[[Tensor, Tensor], Tensor]  # (logits, targets) -> one number per example, shape (B,)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """1 for each example whose highest logit is its target, else 0. Shapes (B, classes), (B,) -> (B,).

    Of targets that are probabilities, (B, classes), as mixing images makes them, the highest counts. Raises UsageError
    for other shapes: one column has no highest logit but itself, and targets (B, 1) would be compared as (B, B).
    """
    require_logits_for_accuracy(logits, targets)
    if targets.ndim == 2:
        targets = targets.argmax(1)
    return (logits.argmax(1) == targets).float()


RISE = ("accuracy", "auc", "f1", "precision", "recall", "kappa", "mcc", "iou", "dice")
FALL = ("loss", "error", "brier", "mae", "mse", "perplexity", "ece", "seconds")


def rises(metric_name: str, mode: str = "auto") -> bool:
    """Whether more is better: `valid_accuracy` rises, `valid_loss` falls.

    Args:
        metric_name: Its end decides if `mode` is "auto".
        mode: "auto", "max" if more is better, or "min".

    Raises:
        UsageError: The name does not tell.
    """
    if mode != "auto":
        return mode == "max"
    if metric_name.endswith(RISE + FALL):
        return metric_name.endswith(RISE)
    raise UsageError(
        f"nothing says whether a higher {metric_name} is better",
        f"the names of metrics that rise end in {', '.join(RISE)}; of those that fall in {', '.join(FALL)}",
        "-s monitor_mode=max, or -s monitor_mode=min",
    )


def require_metric(name: str, computed: Iterable[str]) -> None:
    """Raises UsageError unless `name` is one of the metrics that will be computed."""
    known = list(computed)
    if name not in known:
        raise UsageError(
            f"there is no metric {name!r} to monitor{nearest(name, known)}",
            f"what is computed: {', '.join(known)}",
            f"-s monitor={known[-1]}; a callback names what it adds in its attribute metric_names",
        )


class Means:
    """Means over the examples of one phase, kept as sums on the device until `read`."""

    def __init__(self, metrics: Mapping[str, Metric], device: torch.device) -> None:
        self._metrics = metrics
        self._sums = torch.zeros(1 + len(metrics), device=device, dtype=_widest(device))
        self._examples = 0
        self._started = time.perf_counter()

    def add(self, logits: Tensor, targets: Any, loss: Tensor, inputs: Any = None) -> None:
        """Adds a batch. `loss` is the batch's mean, so that a short batch counts for the examples it has.

        Raises UserCodeError where a metric does not give one number per example, UsageError where nothing says how many
        examples there are.
        """
        examples = count_examples(inputs, targets, logits)
        self._examples += examples
        sums = [loss * examples]
        for name, metric in self._metrics.items():
            scores = metric(logits, targets)
            require_scores(scores, name, metric, examples)
            sums.append(scores.sum())
        self._sums += torch.stack(sums)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        seconds = time.perf_counter() - self._started
        return {"sums": self._sums.detach().cpu().clone(), "examples": self._examples, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with the sums of a phase that was cut off."""
        self._sums.copy_(state["sums"])
        self._examples = state["examples"]
        self._started = time.perf_counter() - state["seconds"]

    def read(self, phase: str) -> dict[str, float]:
        """The means, the examples, and the seconds since the phase began. Waits for the device.

        Raises UsageError where there was no example: a mean of nothing would be a made-up number.
        """
        if self._examples == 0:
            raise UsageError(
                f"there was no batch to {phase} on",
                "the iterable is empty, or an iterator that an earlier epoch has used up",
                "give a list, a DataLoader, or an object with an __iter__ of its own",
            )
        names = ("loss", *self._metrics)
        means = {f"{phase}_{n}": total / self._examples for n, total in zip(names, self._sums.tolist(), strict=True)}
        seconds = time.perf_counter() - self._started
        return means | {f"{phase}_examples": self._examples, f"{phase}_seconds": seconds}


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no 64-bit floats
