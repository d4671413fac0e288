"""Whether the settings of a study that exists differ from those of this process, and in what."""

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
    """Raises UsageError if the settings that the study was begun with, `known`, are not those of this process."""
    require_same_code(study, known.get("code", {}), mine.get("code", {}))
    for name, value in mine.items():
        before = known.get(name)
        if name == "code":
            continue
        if name == "experiment" and isinstance(before, dict):  # fields that its version did not have yet
            before = {**json.loads(json.dumps(Experiment().to_dict())), **before}
            before = {field: before[field] for field in before if field in value or field in known[name]}
            before |= {
                field: now for field, now in value.items() if field in before and is_same_record(before[field], now)
            }
        if before != value:
            raise UsageError(
                f"the study {study!r} was begun otherwise; {difference(name, before, value)}",
                "trials of the two could not be compared",
                "--study with another name, or what it was begun with",
            )


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
