"""Reads values for an experiment's fields from a file, such as the `params.yaml` of a DVC pipeline."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError

SECTION = "set"


def read_settings(path: Path) -> dict[str, str]:
    """Reads the fields below `set` in a YAML file, each value as text, as after `-s`. Raises UsageError."""
    import yaml

    try:
        # the base loader keeps each value as text: YAML would not read 1e-3 as a number, nor "none" as None
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        values = content[SECTION]
        items = [(str(name), value) for name, value in values.items()]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not a text file"
        raise UsageError(f"{path} cannot be read", why, "--set-from params.yaml") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "it is not valid YAML" if isinstance(error, yaml.YAMLError) else f"it has no fields below `{SECTION}`"
        raise UsageError(f"{path} has no settings", why, f"{SECTION}:, and below it lr: 0.01") from error
    nested = [name for name, value in items if isinstance(value, dict)]
    if nested:
        raise UsageError(f"{nested[0]} in {path} is not a value", "it contains other fields", f"{nested[0]}: VALUE")
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in items}
