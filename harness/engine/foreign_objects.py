"""Reads a torch file without running code: Python objects in it are replaced by `NotRead`."""

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

MOST_KINDS = 200  # kinds of objects in one file
NOT_ALLOWED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed")
NO_LIST = re.compile(r"Can only (?:append to|extend) lists, but got <class '([^']+)'>")
NO_DICT = re.compile(r"Can only SETITEMS? for .*, but got <class '([^']+)'>")
BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module")


class NotRead:
    """An object in a file that was not made, because its class could run code. Its class is named as that class."""

    def __new__(cls, *_: object, **__: object) -> NotRead:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """What the object would have been made of is dropped."""

    def __setstate__(self, _: object) -> None:
        """The object's state is dropped."""


class CodeError(Exception):
    """A file cannot be read without running code; the message says why.

    Attributes:
        is_plain: Whether the file may hold tensors and plain values alone, in a form that torch does not read safely.
    """

    def __init__(self, why: str, is_plain: bool = False) -> None:
        super().__init__(why)
        self.is_plain = is_plain


def read_without_code(path: Path) -> Any:
    """What `torch.save` wrote to `path`, on the CPU, with `NotRead` in place of each object that torch does not know.

    The file is read by torch's own safe unpickler, to which every other class is given as an empty one.

    Raises CodeError if that is not possible, and whatever torch raises for a damaged file.
    """
    kinds = dict.fromkeys(_foreign_names(path), "object")
    for _ in range(MOST_KINDS):
        try:
            with warnings.catch_warnings(), safe_globals([(_stand_in(*kind), kind[0]) for kind in kinds.items()]):
                warnings.simplefilter("ignore")  # torch's guesses about a foreign file
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not _learn(kinds, str(error)):
                raise _code_error(kinds, str(error)) from error
    raise CodeError(f"it holds objects of more than {MOST_KINDS} classes")


def kind_of(value: object) -> str:
    """The full name of the class of an object that was not read."""
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def is_not_read(value: object) -> bool:
    """Whether a value stands for an object or a class that was not read."""
    return isinstance(value, NotRead) or (isinstance(value, type) and issubclass(value, NotRead))


def _foreign_names(path: Path) -> list[str]:
    with contextlib.suppress(Exception):  # not of a file in torch's older format
        return get_unsafe_globals_in_checkpoint(str(path))
    return []


def _stand_in(name: str, form: str) -> type:
    """The class that is made in place of the one called `name`."""
    home, _, own = name.rpartition(".")
    bases = {"object": NotRead, "list": _AsList, "dict": _AsDict}
    return type(own, (bases[form],), {"__module__": home, "__qualname__": own})


def _code_error(kinds: Iterable[str], message: str) -> CodeError:
    blocked = BLOCKED.search(message)
    if "Unsupported operand" in message:
        why = "it may hold Python objects: torch reads without running code only pickle protocol 2, its default"
        return CodeError(why, is_plain=True)
    named = [blocked[1]] if blocked else [*kinds][:3]
    return CodeError(f"it holds Python objects, whose loading can run code: {', '.join(named) or 'of unknown kinds'}")


def _learn(kinds: dict[str, str], message: str) -> bool:
    """Adds to `kinds` what torch has just refused. Returns whether that is something new."""
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
    """A class of lists, read as a list: torch fills nothing else."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return []


class _AsDict(NotRead):
    """A class of dictionaries, read as an ordered one: torch fills nothing else."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return OrderedDict()
