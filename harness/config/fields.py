"""What a field of an experiment takes, and how a value is read from a command line."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.config.object_text import object_text
from harness.errors import ExperimentError, nearest, show_uncaught


@dataclass(frozen=True)
class Rule:
    """What a field takes: the end of the sentence "lr takes ...", and the test for it."""

    takes: str
    test: Callable[[Any], bool]

    def holds(self, value: Any) -> bool:
        try:
            return bool(self.test(value))
        except (TypeError, ValueError, OverflowError):  # of a value so odd that it cannot even be looked at
            return False

    def or_none(self) -> Rule:
        return Rule(f"{self.takes}, or none", lambda v: v is None or self.holds(v))

    def or_pair(self, form: str) -> Rule:
        """Or two such values."""
        return Rule(
            f"{self.takes}, or {form}",
            lambda v: self.holds(v) or (isinstance(v, tuple) and len(v) == 2 and all(map(self.holds, v))),
        )

    def or_function(self, form: str) -> Rule:
        return Rule(f"{self.takes}, or a function {form}", lambda v: callable(v) or self.holds(v))


def setting(default: Any, rule: Rule, about: str) -> Any:
    """A dataclass field with its rule and a few words on what it is, units included."""
    return dataclasses.field(default=default, metadata={"rule": rule, "about": about})


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
    """The value that `typed` stands for: a number, numbers with commas between, true, false, none, or the text itself.

    A list (`is_tuple`) is cut at commas.
    """
    if is_tuple:
        return tuple(part.strip() for part in typed.split(",") if part.strip() not in ("", "none"))
    word = typed.strip()
    words = {"true": True, "false": False, "none": None}
    value: Any = words[word.lower()] if word.lower() in words else _literal(word)
    return value if rule.holds(value) else word if rule.holds(word) else value


def as_tuples(value: Any) -> Any:
    """Lists of numbers, and lists of such, as tuples; any other value as it is."""
    if not isinstance(value, list):
        return value
    items = [as_tuples(item) for item in value]
    return tuple(items) if all(type(item) in (int, float, tuple) for item in items) else value


def json_value(value: Any) -> Any:
    """A value that JSON and a checkpoint can hold: of a function or an object, `object_text`."""
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
    """Whether a value is a tuple of numbers, or of such tuples."""
    return isinstance(value, tuple) and all(type(part) in (int, float) or _is_numbers(part) for part in value)


def require_value(item: dataclasses.Field[Any], value: Any) -> None:
    """Raises ExperimentError if a field does not take this value."""
    rule: Rule = item.metadata["rule"]
    if not rule.holds(value):
        meant = nearest(value, rule.takes.split(", ")) if isinstance(value, str) else ""
        raise refused(
            f"{item.name} = {value!r} is not possible{meant}",
            f"{item.name} takes {rule.takes} ({item.metadata['about']})",
            f"-s {item.name}={_typed(item.default)}, its default, or another such value",
        )


def _typed(value: Any) -> str:
    """A default in the form that `-s` takes."""
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def refused(what: str, why: str, fix: str) -> ExperimentError:
    """The error for a field or a value that is not possible."""
    show_uncaught()  # `python experiments/x.py` makes its Experiment where only the interpreter would catch this
    return ExperimentError(what, why, fix)
