"""Counts the examples of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.errors import UsageError
from harness.util.user_code import described


def count_examples(inputs: Any, targets: Any, logits: Tensor) -> int:
    """Returns the number of examples: the rows of the targets.

    For targets in a tuple, list or dict, it is the rows of their first tensor, or of the inputs' first tensor. Raises
    UsageError if neither has one, or if the model returned a different number of rows.
    """
    if isinstance(targets, Tensor) and targets.ndim:
        return len(targets)
    rows = [tensor for tensor in (_first_rows(targets), _first_rows(inputs)) if tensor is not None]
    if rows and (logits.ndim == 0 or len(rows[0]) == len(logits)):
        return len(rows[0])
    counted = f"the first tensor with rows is {described(rows[0])}" if rows else "neither they nor the inputs have rows"
    raise UsageError(
        "the examples of a batch cannot be counted, so their mean cannot be computed",
        f"the targets are {described(targets)}; {counted}; the outputs are {described(logits)}",
        "give targets as a tensor, or make their first tensor have one row for each example",
    )


def _first_rows(value: Any) -> Tensor | None:
    """Returns the first tensor in a value that has at least one dimension."""
    if isinstance(value, Tensor):
        return value if value.ndim else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((tensor for tensor in map(_first_rows, parts) if tensor is not None), None)
