"""Values copied to the types that a safe load takes, and back."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = (bool, int, float, str, bytes, complex)
CONTAINERS = (list, tuple, set)
ON_DEVICE, ARRAY = "tensor on the device", "numpy array"  # keys of a dictionary that stands for one


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
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {copied(key): copied(item) for key, item in value.items()}
    container = next((kind for kind in CONTAINERS if isinstance(value, kind)), None)
    if container is not None:
        return container(copied(item) for item in value)
    number = next((kind for kind in PLAIN if isinstance(value, kind)), None)
    if number is not None and not isinstance(value, Enum):
        return number(value)
    raise NotSavedError(type(value).__name__)


def restored(value: Any, device: torch.device) -> Any:
    """The value that `copied` has copied, with its tensors where they were: on the CPU, or on `device`."""
    if isinstance(value, dict):
        if value.keys() == {ON_DEVICE}:
            return value[ON_DEVICE].to(device)
        if value.keys() == {ARRAY}:
            return value[ARRAY].numpy()
        return {key: restored(item, device) for key, item in value.items()}
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
