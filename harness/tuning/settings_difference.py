"""Compares the settings of an existing study with those of this process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from harness.config.experiment import Experiment
from harness.config.object_text import is_same_record
from harness.errors import UsageError
from harness.tuning.code_facts import require_same_code

MOST_NAMED = 3  # differences


def require_same(study: str, known: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raises UsageError if the study's settings `known` differ from `mine`, the settings of this process."""
    require_same_code(study, known.get("code", {}), mine.get("code", {}))
    for name, value in mine.items():
        before = known.get(name)
        if name == "code":
            continue
        if name == "experiment" and isinstance(before, dict):  # an earlier version may lack fields: use their defaults
            before = {**json.loads(json.dumps(Experiment().to_dict())), **before}
            before = {field: before[field] for field in before if field in value or field in known[name]}
            before |= {
                field: now for field, now in value.items() if field in before and is_same_record(before[field], now)
            }
        if before != value:
            raise UsageError(
                f"the study {study!r} was started with other settings; {difference(name, before, value)}",
                "trials with different settings cannot be compared",
                "--study with another name, or the settings that it was started with",
            )


def difference(name: str, known: Any, now: Any) -> str:
    """A text with the parts in which two settings differ, or with both settings if they have no parts."""
    if isinstance(known, dict) and isinstance(now, dict):
        parts = [part for part in {**known, **now} if known.get(part) != now.get(part)]
        more = f", and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
        old, new = ({part: _describe(values.get(part)) for part in parts} for values in (known, now))
        changes = [f"{part} {old[part]}, now {new[part]}" for part in parts[:MOST_NAMED]]
        return f"{name}: {', '.join(changes)}{more}"
    return f"{name}: {known!r}, now {now!r}"


def _describe(value: Any) -> str:
    """A value as text; for a parameter's distribution, its choices or its range."""
    if isinstance(value, str) and value.startswith('{"name"'):
        with contextlib.suppress(ValueError, TypeError, KeyError):  # another program may have changed it
            limits = json.loads(value)["attributes"]
            return str(limits["choices"]) if "choices" in limits else f"{limits['low']:g} to {limits['high']:g}"
    return repr(value)
