"""How many examples a batch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.errors import UsageError
from harness.util.user_code import described


def count_examples(inputs: Any, targets: Any, logits: Tensor) -> int:
    """The rows of the targets; of targets in tuples, lists or dicts, those of their first tensor, or of the inputs'.

    Raises UsageError if there is no such tensor, or if the model gave another number of rows for it.
    """
    if isinstance(targets, Tensor) and targets.ndim:
        return len(targets)
    rows = [tensor for tensor in (_first_rows(targets), _first_rows(inputs)) if tensor is not None]
    if rows and (logits.ndim == 0 or len(rows[0]) == len(logits)):
        return len(rows[0])
    counted = f"the first tensor with rows is {described(rows[0])}" if rows else "neither they nor the inputs have rows"
    raise UsageError(
        "the examples of a batch cannot be counted, so there is no mean over them",
        f"the targets are {described(targets)}; {counted}; the outputs are {described(logits)}",
        "give targets as a tensor, or let their first tensor have a row for each example",
    )


def _first_rows(value: Any) -> Tensor | None:
    """The first tensor in a value that has at least one dimension."""
    if isinstance(value, Tensor):
        return value if value.ndim else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((tensor for tensor in map(_first_rows, parts) if tensor is not None), None)
