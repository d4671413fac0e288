"""Converts values to types that a safe load accepts, and back."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = (bool, int, float, str, bytes, complex)
CONTAINERS = (list, tuple, set)
# keys of the dictionaries that replace such values
ON_DEVICE, ARRAY, NUMBER, COUNTER = "tensor on the device", "numpy array", "numpy number", "counter"


class NotSavedError(Exception):
    """A value that cannot be saved in a checkpoint; the message names its type."""


def copied(value: Any) -> Any:
    """Returns a copy in types that a safe load accepts, with all tensors on the CPU.

    Raises:
        NotSavedError: The value is or contains an object of another type.
    """
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        copy = value.detach().to("cpu", copy=True)
        return copy if value.device.type == "cpu" else {ON_DEVICE: copy}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return {ARRAY: torch.from_numpy(value.copy())}
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return {NUMBER: [value.dtype.str, value.item()]}
    if type(value) is Counter:  # MultiStepLR has one
        return {COUNTER: {copied(key): count for key, count in value.items()}}
    if type(value) in (dict, OrderedDict):
        return type(value)((copied(key), copied(item)) for key, item in value.items())
    if type(value) in CONTAINERS:
        return type(value)(copied(item) for item in value)
    if isinstance(value, torch.Size):
        return tuple(value)
    raise NotSavedError(type(value).__name__)


def restored(value: Any, device: torch.device) -> Any:
    """Returns the value that `copied` copied. Its tensors are where they were: on the CPU, or on `device`.

    A value that is already restored does not change.
    """
    if type(value) in (dict, OrderedDict):
        if value.keys() == {ON_DEVICE}:
            return value[ON_DEVICE].to(device)
        if value.keys() == {ARRAY}:
            return value[ARRAY].numpy()
        if value.keys() == {NUMBER}:
            return np.dtype(value[NUMBER][0]).type(value[NUMBER][1])
        if value.keys() == {COUNTER}:
            return Counter(value[COUNTER])
        return type(value)((key, restored(item, device)) for key, item in value.items())
    if isinstance(value, CONTAINERS):
        return type(value)(restored(item, device) for item in value)
    return value


def is_same(one: Any, other: Any) -> bool:
    """Returns whether two copies have the same type and value. NaN does not equal NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
