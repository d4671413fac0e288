"""How the settings of a study that exists differ from those of this process, as text."""

from __future__ import annotations

import contextlib
import json
from typing import Any

MOST_NAMED = 3  # differences


def difference(name: str, known: Any, now: Any) -> str:
    """The parts in which two settings differ, or both whole if they have no parts."""
    if isinstance(known, dict) and isinstance(now, dict):
        parts = [part for part in {**known, **now} if known.get(part) != now.get(part)]
        more = f", and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
        old, new = ({part: _describe(values.get(part)) for part in parts} for values in (known, now))
        changes = [f"{part} {old[part]}, now {new[part]}" for part in parts[:MOST_NAMED]]
        return f"{name}: {', '.join(changes)}{more}"
    return f"{name}: {known!r}, now {now!r}"


def _describe(value: Any) -> str:
    """A value; of a parameter's distribution, its choices or its range."""
    if isinstance(value, str) and value.startswith('{"name"'):
        with contextlib.suppress(ValueError, TypeError, KeyError):  # somebody wrote into it
            limits = json.loads(value)["attributes"]
            return str(limits["choices"]) if "choices" in limits else f"{limits['low']:g} to {limits['high']:g}"
    return repr(value)
