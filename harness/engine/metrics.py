"""Metrics of an epoch: means over examples, summed on the device and read once. Also which metrics should rise."""

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
    """Returns 1 for each example whose highest logit is its target, else 0. Shapes (B, classes), (B,) -> (B,).

    Targets may be probabilities (B, classes), as mixup makes them: the highest one counts. Raises UsageError for other
    shapes: with one column there is no highest logit, and targets (B, 1) would broadcast to (B, B).
    """
    require_logits_for_accuracy(logits, targets)
    if targets.ndim == 2:
        targets = targets.argmax(1)
    return (logits.argmax(1) == targets).float()


RISE = ("accuracy", "auc", "f1", "precision", "recall", "kappa", "mcc", "iou", "dice")
FALL = ("loss", "error", "brier", "mae", "mse", "perplexity", "ece", "seconds")


def rises(metric_name: str, mode: str = "auto") -> bool:
    """Returns whether a higher value is better: true for `valid_accuracy`, false for `valid_loss`.

    Args:
        metric_name: With mode "auto", the end of the name decides.
        mode: "auto", "max" if higher is better, or "min".

    Raises:
        UsageError: The mode is "auto" and the end of the name is unknown.
    """
    if mode != "auto":
        return mode == "max"
    if metric_name.endswith(RISE + FALL):
        return metric_name.endswith(RISE)
    raise UsageError(
        f"it is not known whether a higher {metric_name} is better",
        f"higher is better for names that end in {', '.join(RISE)}; lower is better for {', '.join(FALL)}",
        "-s monitor_mode=max, or -s monitor_mode=min",
    )


def require_metric(name: str, computed: Iterable[str]) -> None:
    """Raises UsageError unless `name` is one of the metrics that will be computed."""
    known = list(computed)
    if name not in known:
        raise UsageError(
            f"there is no metric {name!r} to monitor{nearest(name, known)}",
            f"the metrics of this fit: {', '.join(known)}",
            f"-s monitor={known[-1]}; a callback must list metrics that it adds in its attribute metric_names",
        )


class Means:
    """Means over the examples of one phase. The sums stay on the device until `read`."""

    def __init__(self, metrics: Mapping[str, Metric], device: torch.device) -> None:
        self._metrics = metrics
        self._sums = torch.zeros(1 + len(metrics), device=device, dtype=_widest(device))
        self._examples = 0
        self._started = time.perf_counter()

    def add(self, logits: Tensor, targets: Any, loss: Tensor, inputs: Any = None) -> None:
        """Adds a batch. `loss` is the batch's mean, and is weighted by the number of examples.

        Raises UserCodeError if a metric does not return one number per example. Raises UsageError if the examples
        cannot be counted.
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
        """Returns the sums so far."""
        seconds = time.perf_counter() - self._started
        return {"sums": self._sums.detach().cpu().clone(), "examples": self._examples, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the sums of a phase that was interrupted."""
        self._sums.copy_(state["sums"])
        self._examples = state["examples"]
        self._started = time.perf_counter() - state["seconds"]

    def read(self, phase: str) -> dict[str, float]:
        """Returns the means, the number of examples, and the seconds since the phase began. Waits for the device.

        Raises UsageError if there was no example, because then there is no mean.
        """
        if self._examples == 0:
            raise UsageError(
                f"there was no batch to {phase} on",
                "the iterable is empty, or it is an iterator that an earlier epoch has used up",
                "give a list, a DataLoader, or an object whose __iter__ starts from the beginning",
            )
        names = ("loss", *self._metrics)
        means = {f"{phase}_{n}": total / self._examples for n, total in zip(names, self._sums.tolist(), strict=True)}
        seconds = time.perf_counter() - self._started
        return means | {f"{phase}_examples": self._examples, f"{phase}_seconds": seconds}


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no 64-bit floats
