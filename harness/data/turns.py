"""Mirrors images and rotates them by multiples of 90°, as pixels or as frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# name -> (rows flipped, columns flipped, transposed), in this order
TURNS = {
    "": (False, False, False),
    "mirrored": (False, True, False),
    "upside down and mirrored": (True, False, False),
    "upside down": (True, True, False),
    "turned and mirrored": (False, False, True),
    "turned by 90°": (False, True, True),
    "turned by 270°": (True, False, True),
    "turned by 270° and mirrored": (True, True, True),
}
# name -> the turn that undoes it: 90° and 270° undo each other; each of the others undoes itself
UNDONE_BY = {name: name for name in TURNS} | {"turned by 90°": "turned by 270°", "turned by 270°": "turned by 90°"}


def turned_by(values: NDArray[np.float32], turns: Sequence[str], are_frequencies: bool = False) -> NDArray[np.float32]:
    """Turns (N, S, S) images, or their frequencies, with one turn for all or one for each.

    Flipping an image changes the sign of each odd frequency along that axis.
    """
    result = np.empty_like(values)
    for turn in dict.fromkeys(turns):
        rows, columns, transposed = TURNS[turn]
        own = slice(None) if len(turns) == 1 else np.array([each == turn for each in turns])
        part = values[own]
        part = part.transpose(0, 2, 1) if transposed else part
        if are_frequencies:
            odd = np.where(np.arange(part.shape[1]) % 2, np.float32(-1), np.float32(1))
            part = part * (odd[:, None] if rows else 1) * (odd if columns else 1)
        else:
            part = part[:, :: -1 if rows else 1, :: -1 if columns else 1]
        result[own] = part
    return result
