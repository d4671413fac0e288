"""Which images of a data set are copies: with equal pixels, or near copies that were changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.data.check import Check
from harness.data.near_copies import LEAST_SIDE, NearCopy, find_near_copies


@dataclass(frozen=True)
class Copies:
    """The copies among N images.

    Attributes:
        first: (N,) index of the first image with the same pixels, often the image itself; -1 if it was not decoded.
        near: Pairs of near copies. Each image stands for all with the same pixels, and is the first of them.
    """

    first: NDArray[np.int64]
    near: tuple[NearCopy, ...]

    @cached_property
    def members(self) -> dict[int, list[int]]:
        """First image -> all images with its pixels."""
        members: dict[int, list[int]] = {}
        for i, first in enumerate(self.first.tolist()):
            if first >= 0:
                members.setdefault(first, []).append(i)
        return members

    def near_across(self, judged: Collection[int], trained_on: Collection[int]) -> list[int]:
        """The images of `judged` that have a near copy among those of `trained_on`, in their order.

        Copies with equal pixels are not counted: they are leaks, which end a run.
        """
        judged, trained_on = set(judged), set(trained_on)
        found: set[int] = set()
        for pair in self.near:
            one, other = self.members[pair.first], self.members[pair.second]
            for some, others in ((one, other), (other, one)):
                if not trained_on.isdisjoint(others):
                    found.update(judged.intersection(some))
        return sorted(found)


def find_copies(checks: Sequence[Check], step: Callable[[], object] = lambda: None) -> Copies:
    """Returns the copies among the images of all `checks`, which are numbered through.

    Near copies are not looked for among images smaller than 16 pixels.

    Args:
        checks: Of the sides of a data set, say.
        step: Called now and then, for a progress bar.
    """
    prints = np.concatenate([check.fingerprints for check in checks])
    sizes = np.concatenate([check.sizes for check in checks])
    sketches = np.concatenate([check.sketches for check in checks])
    _, firsts, inverse = np.unique(prints, return_index=True, return_inverse=True)
    first = np.where(prints != 0, firsts[inverse.reshape(-1)], -1).astype(np.int64)
    compared = np.unique(first[(first >= 0) & (sizes.min(1) >= LEAST_SIDE)])
    near = [
        NearCopy(int(compared[pair.first]), int(compared[pair.second]), pair.bits, pair.agreement, pair.turn)
        for pair in find_near_copies(sketches[compared], step)
    ]
    return Copies(first, tuple(near))
