"""Reads a torch file without running code: a `NotRead` replaces each Python object in it."""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

MOST_KINDS = 200  # classes in one file
NOT_ALLOWED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed")
NO_LIST = re.compile(r"Can only (?:append to|extend) lists, but got <class '([^']+)'>")
NO_DICT = re.compile(r"Can only SETITEMS? for .*, but got <class '([^']+)'>")
BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module")


class NotRead:
    """Stands for an object that was not created, because its class could run code. Has that class's name."""

    def __new__(cls, *_: object, **__: object) -> NotRead:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Ignores the arguments of the object."""

    def __setstate__(self, _: object) -> None:
        """Ignores the state of the object."""


class CodeError(Exception):
    """A file cannot be read without running code; the message says why.

    Attributes:
        is_plain: Whether the file may hold only tensors and plain values, in a format that torch cannot read safely.
    """

    def __init__(self, why: str, is_plain: bool = False) -> None:
        super().__init__(why)
        self.is_plain = is_plain


def read_without_code(path: Path) -> Any:
    """Reads on the CPU what `torch.save` wrote, with a `NotRead` in place of each object that torch does not know.

    Uses torch's safe unpickler. It gets an empty class in place of each class that it does not allow.

    Raises CodeError if this is not possible, and any exception that torch raises for a damaged file.
    """
    kinds = dict.fromkeys(_foreign_names(path), "object")
    for _ in range(MOST_KINDS):
        try:
            with warnings.catch_warnings(), safe_globals([(_stand_in(*kind), kind[0]) for kind in kinds.items()]):
                warnings.simplefilter("ignore")  # torch guesses about files that it did not write
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not _learn(kinds, str(error)):
                raise _code_error(kinds, str(error)) from error
    raise CodeError(f"it holds objects of more than {MOST_KINDS} classes")


def kind_of(value: object) -> str:
    """Returns the full class name of an object that was not read."""
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def is_not_read(value: object) -> bool:
    """Returns whether a value stands for an object or a class that was not read."""
    return isinstance(value, NotRead) or (isinstance(value, type) and issubclass(value, NotRead))


def _foreign_names(path: Path) -> list[str]:
    with contextlib.suppress(Exception):  # fails for torch's older file format
        return get_unsafe_globals_in_checkpoint(str(path))
    return []


def _stand_in(name: str, form: str) -> type:
    """Returns the class that replaces the class `name`."""
    home, _, own = name.rpartition(".")
    bases = {"object": NotRead, "list": _AsList, "dict": _AsDict}
    return type(own, (bases[form],), {"__module__": home, "__qualname__": own})


def _code_error(kinds: Iterable[str], message: str) -> CodeError:
    blocked = BLOCKED.search(message)
    if "Unsupported operand" in message:
        why = "it may contain Python objects: torch can safely read only pickle protocol 2, its default"
        return CodeError(why, is_plain=True)
    named = [blocked[1]] if blocked else [*kinds][:3]
    classes = ", ".join(named) or "of unknown classes"
    return CodeError(f"it contains Python objects, and loading them can run code: {classes}")


def _learn(kinds: dict[str, str], message: str) -> bool:
    """Adds the class that torch just refused to `kinds`. Returns whether this changed `kinds`."""
    before = dict(kinds)
    unknown, items, entries = (pattern.search(message) for pattern in (NOT_ALLOWED, NO_LIST, NO_DICT))
    if unknown:
        kinds[unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"] = "object"
    elif items and items[1] in kinds:
        kinds[items[1]] = "list"
    elif entries and entries[1] in kinds:
        kinds[entries[1]] = "dict"
    return kinds != before


class _AsList(NotRead):
    """Replaces a subclass of list. Reads as a list, because torch appends only to lists."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return []


class _AsDict(NotRead):
    """Replaces a subclass of dict. Reads as an ordered dictionary, because torch fills only dictionaries."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return OrderedDict()
