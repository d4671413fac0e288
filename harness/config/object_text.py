"""How records name functions and objects: `module:function`, `module:Class(argument=value)`."""

from __future__ import annotations

import enum
import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

RECORDED = {  # module names of version 0.1.0; records keep them, so that old studies can be continued
    "harness.engine.callbacks": "harness.callbacks",
    "harness.training.first_batch": "harness.callbacks.first_batch",
}
FUNCTION_NAME = re.compile(r"[\w.]+:[\w.<>]+(\((\w+=.*)?\))?", re.DOTALL)  # what `object_text` returns
LONGEST_VALUE = 80  # characters of an argument
LONGEST = 1000  # characters of the whole text
DEEPEST = 3  # levels of objects within objects
UNREADABLE = "..."
MISSING = object()
READABLE = (
    "pathlib",
    "datetime",
    "decimal",
    "fractions",
    "re",
    "torch",
    "numpy",
)  # packages whose objects have a `repr` that is their value
NO_ARGUMENT = ("training",)  # attributes of a torch module that change during a run


def object_text(value: Any) -> str:
    """Returns the name of a function, a class or an object. An object's name includes its constructor's arguments.

    For a function that was defined in another function, the outer function's variables are included.

    An argument is read from the attribute of the same name, and left out if it has its default. If the constructor
    stores an argument under another name, all plain attributes are added. A value that is long or cannot be read is
    written as `...`.

    Example:
        `harness.callbacks.gradient_clipping:GradientClipping(max_norm=5.0)`
    """
    text = _text(value, 0)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]}{UNREADABLE})"


def without_module(text: str) -> str:
    """Removes the module from a recorded name, for display: `adam:Adam(lr=1)` becomes `Adam(lr=1)`."""
    head, bracket, rest = text.partition("(")
    return head.rpartition(":")[2] + bracket + rest


def is_same_record(recorded: Any, now: Any) -> bool:
    """Whether a recorded value equals the value `now`. Version 0.1.0 recorded an object without its arguments."""
    if isinstance(recorded, list) and isinstance(now, list):
        return len(recorded) == len(now) and all(map(is_same_record, recorded, now))
    if isinstance(recorded, str) and isinstance(now, str) and FUNCTION_NAME.fullmatch(now) and "(" not in recorded:
        return recorded == now.partition("(")[0]
    return bool(recorded == now)


def is_same_name(recorded: Any, now: Any) -> bool:
    """Whether two recorded values are equal without the arguments of objects: an object may count its calls."""
    if isinstance(recorded, list) and isinstance(now, list):
        return len(recorded) == len(now) and all(map(is_same_name, recorded, now))
    texts = (recorded, now)
    if all(isinstance(text, str) and FUNCTION_NAME.fullmatch(text) for text in texts):
        return bool(recorded.partition("(")[0] == now.partition("(")[0])
    return bool(recorded == now)


def _text(value: Any, depth: int) -> str:
    if isinstance(value, functools.partial):
        parts = {"func": value.func, **({"args": list(value.args)} if value.args else {}), **value.keywords}
        return _called("functools:partial", _arguments(parts, depth))
    if inspect.ismethod(value) and not inspect.isclass(value.__self__):
        return _called(_name(value), _arguments({"self": value.__self__}, depth))
    if hasattr(value, "__qualname__"):
        inner = _closure(value)
        return _called(_name(value), _arguments(inner, depth)) if inner and depth < DEEPEST else _name(value)
    return _called(_name(type(value)), _arguments(_made_by(value), depth))


def _closure(value: Any) -> dict[str, Any]:
    """The variables of the outer function, which distinguish two inner functions of the same name."""
    if not inspect.isfunction(value):
        return {}
    return {
        name: _attribute(cell, "cell_contents")
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    }


def _name(named: Any) -> str:
    module = str(named.__module__)
    for home, recorded in RECORDED.items():
        module = recorded + module.removeprefix(home) if module.startswith(home) else module
    return f"{module}:{named.__qualname__}"


def _called(name: str, arguments: Iterator[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _arguments(parts: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, value in parts.items():
        yield f"{name}={UNREADABLE if value is MISSING else _value(value, depth + 1)}"


def _made_by(value: Any) -> dict[str, Any]:
    """The arguments of an object's constructor that are not defaults, if the object stores them."""
    try:
        parameters = list(inspect.signature(type(value)).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    made: dict[str, Any] = {}
    hidden = not parameters  # whether an argument is stored under another name
    for parameter in parameters:
        argument = _attribute(value, parameter.name)
        if argument is MISSING:
            hidden = True
            if parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                made[parameter.name] = MISSING
        elif not _equal(argument, parameter.default):
            made[parameter.name] = argument
    if hidden:
        known = {parameter.name for parameter in parameters} | {*NO_ARGUMENT}
        for name, attribute in getattr(value, "__dict__", {}).items():
            if name.lstrip("_") not in known and isinstance(attribute, (bool, int, float, str)):
                made[name] = attribute
    return made


def _attribute(value: Any, name: str) -> Any:
    for each in (name, f"_{name}"):
        try:
            return getattr(value, each)
        except Exception:  # a user's property may raise anything
            continue
    return MISSING


def _equal(one: Any, other: Any) -> bool:
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception:  # arrays have no single answer
        return False


def _value(value: Any, depth: int) -> str:
    try:
        text = _readable(value, depth)
    except Exception:  # the user's code may raise anything
        return UNREADABLE
    return text if len(text) <= LONGEST_VALUE or FUNCTION_NAME.fullmatch(text) else UNREADABLE


def _readable(value: Any, depth: int) -> str:
    if value is None or (isinstance(value, (bool, int, float, str, bytes)) and not isinstance(value, enum.Enum)):
        return repr(value)
    if depth > DEEPEST:
        return UNREADABLE
    if isinstance(value, enum.Enum):
        return f"{_name(type(value))}.{value.name}"
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_value(item, depth + 1) for item in value]
        items = sorted(items) if isinstance(value, (set, frozenset)) else items
        return f"({', '.join(items)})" if isinstance(value, tuple) else f"[{', '.join(items)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_value(k, depth + 1)}: {_value(v, depth + 1)}' for k, v in value.items())}}}"
    if hasattr(value, "tolist") and hasattr(value, "shape"):  # an array or a tensor
        size = functools.reduce(lambda a, b: a * b, value.shape, 1)
        return repr(value.tolist()) if size <= LONGEST_VALUE else UNREADABLE
    text = repr(value)
    if type(value).__module__.partition(".")[0] in READABLE and " at 0x" not in text and "\n" not in text:
        return text
    return _text(value, depth)
