"""Values for an experiment's fields that lie in a file, as those of a pipeline do."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError

SECTION = "set"


def read_settings(path: Path) -> dict[str, str]:
    """What a YAML file has below `set`, each value as it would be typed after `-s`. Raises UsageError."""
    import yaml

    try:
        # the base loader leaves each value as it is written: 1e-3, which is no number in YAML, and true and none
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        values = content[SECTION]
        items = [(str(name), value) for name, value in values.items()]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path} cannot be read", why, "--set-from params.yaml") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "it is no YAML" if isinstance(error, yaml.YAMLError) else f"it has no fields below `{SECTION}`"
        raise UsageError(f"{path} holds no settings", why, f"{SECTION}:, and below it lr: 0.01") from error
    nested = [name for name, value in items if isinstance(value, dict)]
    if nested:
        raise UsageError(f"{nested[0]} in {path} is no value", "it has fields of its own", f"{nested[0]}: VALUE")
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in items}
