"""Values copied to the types that a safe load takes, and back."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = (bool, int, float, str, bytes, complex)
CONTAINERS = (list, tuple, set)
# keys of a dictionary that stands for such a value
ON_DEVICE, ARRAY, NUMBER, COUNTER = "tensor on the device", "numpy array", "numpy number", "counter"


class NotSavedError(Exception):
    """A value that no checkpoint holds; the message names its type."""


def copied(value: Any) -> Any:
    """A copy of a value in the types that a safe load takes, all tensors on the CPU.

    Raises:
        NotSavedError: It is, or holds, an object of another type.
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
    if type(value) is Counter:  # as MultiStepLR has
        return {COUNTER: {copied(key): count for key, count in value.items()}}
    if type(value) in (dict, OrderedDict):
        return type(value)((copied(key), copied(item)) for key, item in value.items())
    if type(value) in CONTAINERS:
        return type(value)(copied(item) for item in value)
    if isinstance(value, torch.Size):
        return tuple(value)
    raise NotSavedError(type(value).__name__)


def restored(value: Any, device: torch.device) -> Any:
    """The value that `copied` has copied, with its tensors where they were: on the CPU, or on `device`.

    A value that was restored already stays as it is.
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
    """Whether two copies are the same in type and value; NaN is the same as nothing."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
