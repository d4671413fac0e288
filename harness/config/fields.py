"""The values that a field of an experiment takes, and how a value is read from a command line."""

from __future__ import annotations

import ast
import dataclasses
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.config.object_text import object_text
from harness.errors import ExperimentError, nearest, show_uncaught
from harness.util.text import short_repr


@dataclass(frozen=True)
class Rule:
    """The values that a field takes: `takes` ends the sentence "lr takes ...", and `test` checks a value."""

    takes: str
    test: Callable[[Any], bool]

    def holds(self, value: Any) -> bool:
        try:
            return bool(self.test(value))
        except (TypeError, ValueError, OverflowError):  # the test cannot handle this value: it is invalid
            return False

    def or_none(self) -> Rule:
        return Rule(f"{self.takes}, or none", lambda v: v is None or self.holds(v))

    def or_pair(self, form: str) -> Rule:
        """Also takes a tuple of two such values."""
        return Rule(
            f"{self.takes}, or {form}",
            lambda v: self.holds(v) or (isinstance(v, tuple) and len(v) == 2 and all(map(self.holds, v))),
        )

    def or_function(self, form: str) -> Rule:
        return Rule(f"{self.takes}, or a function {form}", lambda v: callable(v) or self.holds(v))


def setting(default: Any, rule: Rule, about: str) -> Any:
    """A dataclass field with its rule and its meaning, with the unit."""
    return dataclasses.field(default=default, metadata={"rule": rule, "about": about})


def boolean() -> Rule:
    return Rule("true or false", lambda v: isinstance(v, bool))


def whole(least: int, most: int = 10**9) -> Rule:
    takes = f"a whole number from {least} " + ("up" if most == 10**9 else f"to {most}")
    return Rule(takes, lambda v: type(v) is int and least <= v <= most)


def number(takes: str, holds: Callable[[float], bool]) -> Rule:
    return Rule(takes, lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v))


def choice(*names: str) -> Rule:
    return Rule(", ".join(names), lambda v: isinstance(v, str) and v in names)


def text(takes: str) -> Rule:
    return Rule(takes, lambda v: isinstance(v, str) and v != "" and "\0" not in v)


def parse(rule: Rule, typed: str, is_tuple: bool) -> Any:
    """Converts text from a command line to a number, numbers (separated by commas), true, false, none or text.

    A list (`is_tuple`) is split at commas.
    """
    if is_tuple:
        return tuple(part.strip() for part in typed.split(",") if part.strip() not in ("", "none"))
    word = typed.strip()
    constants = {"true": True, "false": False, "none": None}
    value: Any = constants[word.lower()] if word.lower() in constants else _literal(word)
    return value if rule.holds(value) else word if rule.holds(word) else value


def as_tuples(value: Any) -> Any:
    """Converts a list of numbers, or a list of such lists, to tuples. Returns any other value unchanged."""
    if not isinstance(value, list):
        return value
    items = [as_tuples(item) for item in value]
    return tuple(items) if all(type(item) in (int, float, tuple) for item in items) else value


def json_value(value: Any) -> Any:
    """Converts a value for JSON and checkpoints. A function or an object becomes its `object_text`."""
    if isinstance(value, (tuple, list)):
        return [json_value(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return object_text(value)


def _literal(word: str) -> Any:
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return word
    return value if isinstance(value, (int, float)) or _is_numbers(value) else word


def _is_numbers(value: Any) -> bool:
    """Whether a value is a tuple of numbers, or of tuples of numbers."""
    return isinstance(value, tuple) and all(type(part) in (int, float) or _is_numbers(part) for part in value)


def require_value(item: dataclasses.Field[Any], value: Any) -> None:
    """Raises ExperimentError if a field does not take this value."""
    rule: Rule = item.metadata["rule"]
    if not rule.holds(value):
        suggestion = nearest(value, rule.takes.split(", ")) if isinstance(value, str) else ""
        raise refused(
            f"{item.name} = {value!r} is not possible{suggestion}",
            f"{item.name} takes {rule.takes} ({item.metadata['about']})",
            f"-s {item.name}={_typed(item.default)}, which is the default",
        )


def _typed(value: Any) -> str:
    """A default as text for `-s`."""
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def refused(what: str, why: str, fix: str) -> ExperimentError:
    """The error for an unknown field or an invalid value."""
    show_uncaught()  # in `python experiments/x.py`, no code of ours is there to catch the error
    return ExperimentError(what, why, fix)


def fields_repr(experiment: Any) -> str:
    """The `repr` of an experiment: the fields that are set, each cut if it is long."""
    names = [name for name, origin in experiment._origins.items() if origin != "default"]
    return short_repr(experiment, ", ".join(f"{name}={reprlib.repr(getattr(experiment, name))}" for name in names))
