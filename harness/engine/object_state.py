"""What an object remembers, in tensors and plain values: saved, compared with the start of a fit, and given back."""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.engine.plain_values import CONTAINERS, PLAIN, NotSavedError, copied, is_same, restored
from harness.util.user_code import is_users

CODE = (Path, ModuleType, type, Enum, torch.dtype, torch.device, functools.partial)  # does not change in a fit
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
DEEPEST = 3  # objects within objects
IN_PLACE = "in place"  # key of a dictionary that stands for the content of a container of a special class
_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Saving:
    """A state that is being saved.

    Attributes:
        live: Values of `id` of objects that are saved by somebody else, such as the model and its parameters.
        unsaved: Gets the names of attributes that cannot be saved, and why.
    """

    live: Collection[int] = ()
    unsaved: list[str] = field(default_factory=list)


_SAVING = ContextVar("_SAVING", default=Saving())  # noqa: B039 - the list of the default is never read


@contextlib.contextmanager
def saving(live: Collection[int]) -> Iterator[Saving]:
    """Within, `attribute_state` leaves out the objects in `live`, and says what it could not save."""
    token = _SAVING.set(Saving(live))
    try:
        yield _SAVING.get()
    finally:
        _SAVING.reset(token)


def object_state(value: Any, depth: int = 0) -> Any:
    """What an object remembers: its own `state_dict`, the state of a random generator, or its attributes.

    Raises NotSavedError if its `state_dict` holds an object of another type.
    """
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return copied(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return copied(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    return copied(value.state_dict()) if _has_state_dict(value) else attribute_state(value, depth)


def load_object_state(value: Any, saved: Any, device: torch.device) -> None:
    """Gives an object what `object_state` has saved of an object of the same class."""
    saved = restored(saved, device)
    if isinstance(value, torch.Generator):
        value.set_state(saved)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = saved
    elif isinstance(value, np.random.RandomState):
        value.set_state(saved)
    elif isinstance(value, random.Random):
        value.setstate(saved)
    elif _has_state_dict(value):
        value.load_state_dict(saved)
    else:
        load_attribute_state(value, saved, device)


def attribute_state(owner: Any, depth: int = 0) -> dict[str, Any]:
    """The attributes of an object that are tensors, plain values, or objects that remember something.

    Of a module, what its own `state_dict` holds is left out.
    """
    values: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    fixed: dict[str, int] = {}  # what is no value, by `id`: that it has changed can be said, if not saved
    for name, value in _attributes(owner).items():
        if _is_live(value) or _is_code(value):
            fixed[name] = id(value)
            continue
        try:
            if _remembers(value) and depth < DEEPEST:
                objects[name] = object_state(value, depth + 1)
            else:
                values[name] = _copied_in_place(value)
        except NotSavedError as error:
            if not type(owner).__module__.startswith("harness."):
                _SAVING.get().unsaved.append(f"{type(owner).__name__}.{name} ({error})")
    return {"values": values, "objects": objects, "fixed": fixed}


def load_attribute_state(owner: Any, saved: dict[str, Any], device: torch.device) -> None:
    """Gives an object the attributes that `attribute_state` has saved. A container stays the same object."""
    for name, value in saved["values"].items():
        now = getattr(owner, name, None)
        value = restored(value[IN_PLACE] if _is_in_place(value) else value, device)
        if isinstance(now, (list, deque)) and isinstance(value, list):
            now.clear()
            now.extend(value)
        elif isinstance(now, (dict, set)) and isinstance(value, (dict, set, list)):
            now.clear()
            now.update(value)
        elif isinstance(now, Tensor) and isinstance(value, Tensor) and _is_alike(now, value):
            with torch.no_grad():
                now.copy_(value)
        else:
            setattr(owner, name, value)
    for name, value in saved["objects"].items():
        load_object_state(getattr(owner, name), value, device)


def changes_since(start: Any, now: Any, name: str) -> Any:
    """The part of an object's state that is not as it was when the fit began: the rest is made again by the code.

    So a setting that was edited counts, and a moment of another process's clock does not.

    Args:
        start: Its `object_state` when the fit began.
        now: Its `object_state`.
        name: For people, if the object holds one that was made since, to which no state could be given back.
    """
    if not (_is_of_attributes(start) and _is_of_attributes(now)):
        return now
    known, objects, unsaved = start["values"], {}, _SAVING.get().unsaved
    unsaved += [
        f"{name}.{key} (changed during the fit)" for key, own in now["fixed"].items() if start["fixed"].get(key) != own
    ]
    made = [key for key, v in now["values"].items() if _is_in_place(v) and not _is_in_place(known.get(key))]
    unsaved += [f"{name}.{key} (made during the fit)" for key in made]
    for key, value in now["objects"].items():
        if key in start["objects"]:
            objects[key] = changes_since(start["objects"][key], value, f"{name}.{key}")
        else:
            unsaved.append(f"{name}.{key} (made during the fit)")
    values = {
        key: v
        for key, v in now["values"].items()
        if key not in made and (key not in known or not is_same(v, known[key]))
    }
    return {"values": values, "objects": objects, "fixed": {}}


def is_empty(state: Any) -> bool:
    """Whether a state, as `changes_since` has returned it, says nothing."""
    return _is_of_attributes(state) and not state["values"] and all(map(is_empty, state["objects"].values()))


def is_users_object(value: Any) -> bool:
    """Whether an object is of a class of the user's, not of a library."""
    module = sys.modules.get(type(value).__module__)
    return hasattr(value, "__dict__") and module is not None and _is_file_of_users(getattr(module, "__file__", None))


def _is_file_of_users(file: str | None) -> bool:
    return file is not None and is_users(file)


def _is_of_attributes(state: Any) -> bool:
    return isinstance(state, dict) and state.keys() == {"values", "objects", "fixed"}


def _has_state_dict(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _remembers(value: Any) -> bool:
    return isinstance(value, GENERATORS) or _has_state_dict(value) or is_users_object(value)


def _is_live(value: Any) -> bool:
    """Whether a value is an object that is saved elsewhere, or holds nothing but such objects."""
    return id(value) in _SAVING.get().live or (bool(items := _items(value)) and all(map(_is_live, items)))


def _holds_live(value: Any) -> bool:
    return id(value) in _SAVING.get().live or any(map(_holds_live, _items(value)))


def _items(value: Any) -> Collection[Any]:
    """What a container holds; of a dictionary, the values. Other objects hold nothing."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, CONTAINERS) else ()


def _copied_in_place(value: Any) -> Any:
    """A copy of an attribute. One of a class such as deque or defaultdict is given back to the object that is there.

    Raises NotSavedError.
    """
    if _holds_live(value):
        raise NotSavedError("holds the model or a part of it, and more")
    if isinstance(value, deque) or (isinstance(value, (list, set)) and type(value) not in CONTAINERS):
        return {IN_PLACE: copied(list(value))}
    if isinstance(value, dict) and type(value) not in (dict, OrderedDict, Counter):
        return {IN_PLACE: copied(dict(value))}
    return copied(value)


def _is_in_place(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {IN_PLACE}


def _is_code(value: Any) -> bool:
    """Whether a value is, or holds nothing but, what does not change in a fit, such as functions."""
    if items := _items(value):
        return all(map(_is_code, items))
    return isinstance(value, CODE) or (inspect.isroutine(value) and not isinstance(value, PLAIN))


def _is_alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


def _attributes(owner: Any) -> dict[str, Any]:
    """By name, less those that each `nn.Module` has."""
    own = dict(getattr(owner, "__dict__", {}))
    return {name: value for name, value in own.items() if name not in _MODULE} if isinstance(owner, nn.Module) else own
