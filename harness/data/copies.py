"""Finds copies among the images of a data set: images with equal pixels, and near copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.cache.recipe import Recipe
from harness.cache.store import Cache
from harness.data.check import Check
from harness.data.near_copies import LEAST_SIDE, VERSION, NearCopies, NearCopy, find_near_copies
from harness.data.turns import TURNS


@dataclass(frozen=True)
class Copies:
    """The copies among N images.

    Attributes:
        first: (N,) index of the first image with the same pixels, often the image itself; -1 if it was not decoded.
        near: Pairs of near copies. Of several images with equal pixels, only the first is in a pair.
        is_cut: Whether there were too many similar images to compare all of them. There may be more near copies.
    """

    first: NDArray[np.int64]
    near: tuple[NearCopy, ...]
    is_cut: bool = False

    @cached_property
    def members(self) -> dict[int, list[int]]:
        """First image -> all images with the same pixels, including itself."""
        members: dict[int, list[int]] = {}
        for i, first in enumerate(self.first.tolist()):
            if first >= 0:
                members.setdefault(first, []).append(i)
        return members

    def near_across(self, evaluated: Collection[int], trained_on: Collection[int]) -> list[int]:
        """The images of `evaluated` that have a near copy among the images of `trained_on`, in their order.

        Copies with equal pixels are not counted. They are leaks, which end a run.
        """
        return list(self.partners_across(evaluated, trained_on))

    def partners_across(
        self, evaluated: Collection[int], trained_on: Collection[int]
    ) -> dict[int, tuple[int, NearCopy]]:
        """Image of `evaluated` -> (its nearest copy in `trained_on`, their pair), for the images of `near_across`."""
        evaluated, trained_on = set(evaluated), set(trained_on)
        partners: dict[int, tuple[int, NearCopy]] = {}
        for pair in sorted(self.near, key=lambda pair: -pair.agreement):
            one, other = self.members[pair.first], self.members[pair.second]
            for some, others in ((one, other), (other, one)):
                partner = next((i for i in others if i in trained_on), None)
                if partner is not None:
                    partners |= {i: (partner, pair) for i in some if i in evaluated and i not in partners}
        return dict(sorted(partners.items()))


def find_copies(
    checks: Sequence[Check],
    step: Callable[[], object] = lambda: None,
    cache: Cache | None = None,
    across: int | None = None,
) -> Copies:
    """Finds the copies among the images of all `checks`. Images are numbered in the order of the checks.

    Images smaller than 16 pixels are not compared for near copies.

    Args:
        checks: Such as one for each split of a data set.
        step: Called at most `near_copies.STEPS` times, for a progress bar.
        cache: Stores the near copies, so that the next call finds them without a search.
        across: Only near copies between the first `across` images and the others. None: all near copies.
    """
    prints = np.concatenate([check.fingerprints for check in checks])
    sizes = np.concatenate([check.sizes for check in checks])
    # a copy of the sketches of 100,000 images would take 100 MB
    sketches = checks[0].sketches if len(checks) == 1 else np.concatenate([check.sketches for check in checks])
    _, firsts, inverse = np.unique(prints, return_index=True, return_inverse=True)
    first = np.where(prints != 0, firsts[inverse.reshape(-1)], -1).astype(np.int64)
    compared = np.unique(first[(first >= 0) & (sizes.min(1) >= LEAST_SIDE)])
    sides = None if across is None else int(np.searchsorted(compared, across))
    near_copies = _near(sketches if len(compared) == len(sketches) else sketches[compared], step, cache, sides)
    near = [
        NearCopy(int(compared[pair.first]), int(compared[pair.second]), pair.bits, pair.agreement, pair.turn)
        for pair in near_copies.pairs
    ]
    return Copies(first, tuple(near), near_copies.is_cut)


def _near(
    sketches: NDArray[np.uint8], step: Callable[[], object], cache: Cache | None, across: int | None
) -> NearCopies:
    """Finds the near copies, or reads them from `cache`, which has one row for these sketches in this order."""
    if cache is None:
        return find_near_copies(sketches, step, across)
    names = list(TURNS)

    def make(_: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        near_copies = find_near_copies(sketches, step, across)
        rows = [(p.first, p.second, p.bits, p.agreement, names.index(p.turn)) for p in near_copies.pairs]
        # the first row makes sure that there is one: an empty entry cannot be stored
        yield np.array([(len(rows), near_copies.is_cut, 0, 0, 0), *rows], np.float64)[None]

    digest = hashlib.sha256(np.ascontiguousarray(sketches).data).hexdigest()
    recipe = Recipe("copies", f"near copies among {len(sketches)} images", {"version": VERSION})
    (table,) = cache.rows(recipe, [f"{digest} {across}"], make, quiet=True).take([0])
    pairs = [
        NearCopy(int(first), int(second), int(bits), float(agreement), names[int(turn)])
        for first, second, bits, agreement, turn in table[1:].tolist()
    ]
    return NearCopies(tuple(pairs), bool(table[0, 1]))
