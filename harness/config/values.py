"""Checks for values of an experiment's fields that are more than a range or a choice."""

from __future__ import annotations

import math
import re
from typing import Any

from harness.util.schema import NAME

COLUMNS = ("path", "label", "split", "group")  # of a table


def is_range(value: Any) -> bool:
    low, high = value
    return isinstance(value, tuple) and all(type(v) in (int, float) and math.isfinite(v) for v in value) and low < high


def is_normalisation(value: Any) -> bool:
    """Whether a value is a mean and a standard deviation: each a number, or a number for each channel."""
    if value == "imagenet":
        return True
    mean, std = ((part,) if type(part) in (int, float) else part for part in value)
    numbers = [*mean, *std]
    return (
        isinstance(value, tuple)
        and len(mean) == len(std)
        and len(mean) in (1, 3)
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        and min(mean) >= 0
        and max(mean) <= 1
        and 0 < min(std) <= max(std) <= 1
    )


def is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and value != "" and re.compile(value) is not None
    except re.error:
        return False


def is_name(value: str) -> bool:
    return value == "" or NAME.fullmatch(value) is not None


def is_column(value: Any) -> bool:
    name, _, column = value.partition("=")
    return name in COLUMNS and column != ""


def is_metrics(value: Any) -> bool:
    """Whether a value is a tuple of metric names and functions."""
    return isinstance(value, tuple) and all(callable(item) or (isinstance(item, str) and item) for item in value)


def is_callback(value: Any) -> bool:
    """Whether a value is a callback. Compares names, because to import the engine here would import torch."""
    return any(
        f"{kind.__module__}.{kind.__name__}" == "harness.engine.callback.Callback" for kind in type(value).__mro__
    )
