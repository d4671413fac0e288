"""Which packages are installed."""

from __future__ import annotations

import contextlib
import importlib.util


def installed(tracker: str) -> bool:
    """Whether the package of that tracker is there; nothing is imported."""
    with contextlib.suppress(ValueError):
        return importlib.util.find_spec(tracker) is not None
    return False
