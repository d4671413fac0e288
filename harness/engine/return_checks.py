"""Checks what the functions of a fit return. The checks of one batch take about two microseconds in total."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UsageError
from harness.util.user_code import described, returned


def require_tensor(output: Any, model: nn.Module) -> Tensor:
    """Returns a model's output. Raises UserCodeError unless it is a tensor."""
    if not isinstance(output, Tensor):
        must = f"one tensor {when(model)}: only the logits (B, classes), no other outputs"
        raise returned("forward", model, output, must, forward_name(model))
    return output


def require_loss(loss: Any, function: object, logits: Tensor) -> Tensor:
    """Returns the loss of a batch.

    Raises UserCodeError unless it is a tensor of shape () on the logits' device, with a gradient during training.
    """
    if not isinstance(loss, Tensor) or loss.ndim:
        raise returned("loss", function, loss, "the mean over the batch: a tensor of shape ()")
    if torch.is_grad_enabled() and not loss.requires_grad:
        must = "a tensor with a gradient: computed from the logits by torch, without item(), detach(), argmax or numpy"
        raise returned("loss", function, loss, must)
    if loss.device != logits.device:
        raise returned("loss", function, loss, f"a tensor on {logits.device}, where the logits are")
    return loss


def require_logits_for_accuracy(logits: Tensor, targets: Any) -> None:
    """Raises UsageError unless accuracy is defined: logits (B, C) with C > 1, and targets (B,) or (B, C)."""
    shape = logits.shape
    if len(shape) == 2 and shape[1] > 1 and isinstance(targets, Tensor) and targets.shape in (shape[:1], shape):
        return
    one = len(shape) < 2 or shape[1] == 1
    what = f"accuracy is not defined for outputs {tuple(shape)} and targets that are {described(targets)}"
    if one:
        raise UsageError(
            what,
            "the predicted class is the one with the highest output, but here an example has only one output",
            "give the model two outputs and use cross_entropy; for BCEWithLogitsLoss pass "
            'metrics={"accuracy": lambda logits, targets: ((logits > 0) == (targets > 0.5)).float().view(-1)}',
        )
    rows = tuple(shape[:1])
    raise UsageError(
        what,
        f"outputs must be (B, classes), and targets {rows} class numbers or {tuple(shape)} probabilities",
        "targets.squeeze(1) for a column of targets; or Trainer(..., metrics={}) or your own metrics",
    )


def require_scores(scores: Any, name: str, metric: object, examples: int) -> None:
    """Raises UserCodeError unless a metric gives one number per example."""
    if not isinstance(scores, Tensor) or scores.shape != (examples,):
        must = f"one number per example: a tensor ({examples},) for these {examples}"
        raise returned("metric", metric, scores, must, name)


def forward_name(model: nn.Module) -> str:
    """Returns the display name of a model's forward pass."""
    return f"{type(model).__name__}.forward"


def when(model: nn.Module) -> str:
    """Returns the display name of a model's mode."""
    return "in training" if model.training else "in validation"
