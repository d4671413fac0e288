"""Checks the choices of a parameter: which values a study can store, and what to type instead of the others."""

from __future__ import annotations

import enum
import math
import sys
import warnings
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, distribution_to_json, json_to_distribution

from harness.config.experiment_file import MODULE_PREFIX
from harness.errors import ExperimentError

MOST_SHOWN = 3  # choices in the example of a fix
LONGEST_SHOWN = 60  # characters of one choice


def plain(value: Any) -> Any:
    """Returns a value with Python's numbers instead of numpy's, also in tuples and lists."""
    if isinstance(value, np.generic):
        return value.item()
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


def kept_choices(name: str, choices: Any, title: str) -> list[Any]:
    """Returns the choices of the parameter `name` as a study stores them. Numbers of numpy become Python's.

    Raises ExperimentError for a choice that a study would return changed. `title` names the search space in the error.
    """
    what = f"{title}: the choices of {name!r}"
    if isinstance(choices, str) or not isinstance(choices, Iterable):
        example = f"trial.suggest_categorical({name!r}, [{choices!r}])"
        raise ExperimentError(
            f"{what} are not a list", f"they are {_shown(choices)}, of type {_type(choices)}", example
        )
    if isinstance(choices, Set) and not isinstance(choices, type({}.keys())):
        example = f"trial.suggest_categorical({name!r}, [{', '.join(sorted(map(repr, choices)))}])"
        raise ExperimentError(f"{what} are a set", "the order of a set differs between processes", example)
    values = [plain(value) for value in choices]
    for value in values:
        if not _comes_back(value):
            why = f"a study stores None, bool, int, float and str; it would return a changed {_type(value)}"
            why = "a study compares its choices, and NaN equals nothing" if type(value) is float else why
            raise ExperimentError(f"{what} contain {_shown(value)}", why, _fix(name, values))
        same = values[values.index(value)]
        if type(same) is not type(value):
            why = f"{same!r} == {value!r} in Python, so Optuna does not distinguish them"
            raise ExperimentError(f"{what} contain {same!r} and {value!r}", why, _fix(name, values))
    return values


def literal(value: Any) -> str:
    """Python code for a choice. Infinity and NaN have no literal."""
    return f"float({str(value)!r})" if type(value) is float and not math.isfinite(value) else repr(value)


def _comes_back(value: Any) -> bool:
    """Whether Optuna reads a choice unchanged. Tuples, members of an enum, classes and NaN are changed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about types that may be changed
            written = CategoricalDistribution([value])
            read: Any = json_to_distribution(distribution_to_json(written))
        hash(read)  # Optuna does this when it compares trials
        same = read == written and read.choices[0] == value  # to Optuna, NaN equals NaN
        return type(read.choices[0]) is type(value) and bool(same)
    except Exception:  # writing or comparing the user's value may raise anything
        return False


def _fix(name: str, values: Sequence[Any]) -> str:
    """Code that does the same with strings: the keys of a dict."""
    keys = [_key(value) for value in values]
    if len({*keys}) < len(keys):
        keys = [f"{key} ({number})" for number, key in enumerate(keys)]
    pairs = [f"{key!r}: {_code(value)}" for key, value in zip(keys, values, strict=True)]
    more = ", …" if len(pairs) > MOST_SHOWN else ""
    options = f"{{{', '.join(pairs[:MOST_SHOWN])}{more}}}"
    return f"options = {options}; options[trial.suggest_categorical({name!r}, list(options))]"


def _key(value: Any) -> str:
    """A value's name, or else its text."""
    return str(value.name) if isinstance(value, enum.Enum) else str(getattr(value, "__name__", None) or _shown(value))


def _code(value: Any) -> str:
    """Code for a value, if it has a name or a literal."""
    if isinstance(value, enum.Enum):
        return f"{_type(value)}.{value.name}"  # printing a member of a StrEnum shows only its value
    name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", "") or "builtins"
    if not name or module == "builtins" or module.startswith(MODULE_PREFIX):
        return name or _shown(value)
    packages = [module.rsplit(".", count)[0] for count in range(module.count("."), -1, -1)]  # outermost first
    known = [package for package in packages if getattr(sys.modules.get(package), name, None) is value]
    return f"{known[0] if known else module}.{name}"


def _shown(value: Any) -> str:
    try:
        text = " ".join(literal(value).split())
    except Exception:  # `repr` of a user's class may raise anything
        text = f"<{_type(value)}>"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _type(value: Any) -> str:
    return type(value).__name__
