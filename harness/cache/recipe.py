"""What determines the rows of an entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = "harness-rows-1"


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a row, except its item."""

    kind: str  # "features", "images", "checks" or "copies"
    about: str  # for display; not part of the key
    parts: Mapping[str, Any]  # plain values

    @property
    def digest(self) -> str:
        """16 hexadecimal digits at the beginning of all keys of its entries."""
        return _digest([FORMAT, self.kind, dict(self.parts)])

    def key(self, items: Sequence[str]) -> str:
        """Returns the key of the entry with these items, in any order."""
        return self.digest + _digest(sorted(items))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
