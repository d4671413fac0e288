"""Converts features of any shape to one row of numbers per image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def pooled(features: Tensor) -> NDArray[np.float32]:
    """Returns (B, F): maps (B, F, h, w) are averaged over pixels, and tokens (B, T, F) over tokens."""
    values = features.float()
    if values.ndim == 4:
        values = values.mean((2, 3))
    elif values.ndim == 3:
        values = values.mean(1)
    array: NDArray[np.float32] = values.flatten(1).cpu().numpy()
    return array
