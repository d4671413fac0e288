"""What a row of an entry is a function of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = "harness-rows-1"


@dataclass(frozen=True)
class Recipe:
    """All that a row is a function of, besides its item."""

    kind: str  # "features", "images", "checks" or "copies"
    about: str  # for people, and no part of the key
    parts: Mapping[str, Any]  # plain values

    @property
    def digest(self) -> str:
        """16 hexadecimal digits, with which the keys of all its entries begin."""
        return _digest([FORMAT, self.kind, dict(self.parts)])

    def key(self, items: Sequence[str]) -> str:
        """Of the entry with these items, in whatever order."""
        return self.digest + _digest(sorted(items))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
