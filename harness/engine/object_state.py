"""The state of an object, as tensors and plain values: saved, compared with the start of a fit, and restored."""

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

CODE = (Path, ModuleType, type, Enum, torch.dtype, torch.device, functools.partial)  # do not change in a fit
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
DEEPEST = 3  # nested objects
IN_PLACE = "in place"  # the key of a dictionary that holds the content of a container of a special class
_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Saving:
    """The settings and the findings while a state is saved.

    Attributes:
        live: The `id` of each object that is saved elsewhere, such as the model and its parameters.
        unsaved: Names of attributes that cannot be saved, with the reason.
    """

    live: Collection[int] = ()
    unsaved: list[str] = field(default_factory=list)


_SAVING = ContextVar("_SAVING", default=Saving())  # noqa: B039 - the list of the default is never read


@contextlib.contextmanager
def saving(live: Collection[int]) -> Iterator[Saving]:
    """Within the context, `attribute_state` leaves out the objects in `live`, and records what it cannot save."""
    token = _SAVING.set(Saving(live))
    try:
        yield _SAVING.get()
    finally:
        _SAVING.reset(token)


def object_state(value: Any, depth: int = 0) -> Any:
    """Returns an object's state: its `state_dict`, the state of a random generator, or its attributes.

    Raises NotSavedError if its `state_dict` holds an object that cannot be saved.
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
    """Restores what `object_state` saved of an object of the same class."""
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
    """Returns the attributes of an object that are tensors, plain values, or objects with a state.

    For a module, it leaves out what its `state_dict` holds.
    """
    values: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    fixed: dict[str, int] = {}  # `id` of each other attribute: a change of it can be reported, but not saved
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
    """Restores the attributes that `attribute_state` saved. A container stays the same object."""
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
    """Returns the part of an object's state that changed since the fit began. The code itself makes the rest again.

    So after a resume an edited setting takes effect, and times of the earlier process's clock are not restored.

    Args:
        start: The object's `object_state` when the fit began.
        now: The object's `object_state` now.
        name: The object's name in the report of objects that were made during the fit and cannot be restored.
    """
    if not (_is_of_attributes(start) and _is_of_attributes(now)):
        return now
    known, objects, unsaved = start["values"], {}, _SAVING.get().unsaved
    unsaved += [
        f"{name}.{key} (changed during the fit)" for key, own in now["fixed"].items() if start["fixed"].get(key) != own
    ]
    new = [key for key, v in now["values"].items() if _is_in_place(v) and not _is_in_place(known.get(key))]
    unsaved += [f"{name}.{key} (made during the fit)" for key in new]
    for key, value in now["objects"].items():
        if key in start["objects"]:
            objects[key] = changes_since(start["objects"][key], value, f"{name}.{key}")
        else:
            unsaved.append(f"{name}.{key} (made during the fit)")
    values = {
        key: v
        for key, v in now["values"].items()
        if key not in new and (key not in known or not is_same(v, known[key]))
    }
    return {"values": values, "objects": objects, "fixed": {}}


def is_empty(state: Any) -> bool:
    """Returns whether a state from `changes_since` holds no change."""
    return _is_of_attributes(state) and not state["values"] and all(map(is_empty, state["objects"].values()))


def is_users_object(value: Any) -> bool:
    """Returns whether an object's class is defined in the user's code, not in a library."""
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
    """Returns whether a value is an object that is saved elsewhere, or contains only such objects."""
    return id(value) in _SAVING.get().live or (bool(items := _items(value)) and all(map(_is_live, items)))


def _holds_live(value: Any) -> bool:
    return id(value) in _SAVING.get().live or any(map(_holds_live, _items(value)))


def _items(value: Any) -> Collection[Any]:
    """Returns the items of a container, or the values of a dictionary. Other objects have none."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, CONTAINERS) else ()


def _copied_in_place(value: Any) -> Any:
    """Returns a copy of an attribute. A deque, defaultdict or the like is marked, to be restored in the same object.

    Raises NotSavedError.
    """
    if _holds_live(value):
        raise NotSavedError("holds the model or a part of it, and other values")
    if isinstance(value, deque) or (isinstance(value, (list, set)) and type(value) not in CONTAINERS):
        return {IN_PLACE: copied(list(value))}
    if isinstance(value, dict) and type(value) not in (dict, OrderedDict, Counter):
        return {IN_PLACE: copied(dict(value))}
    return copied(value)


def _is_in_place(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {IN_PLACE}


def _is_code(value: Any) -> bool:
    """Returns whether a value does not change in a fit, as functions do not, or contains only such values."""
    if items := _items(value):
        return all(map(_is_code, items))
    return isinstance(value, CODE) or (inspect.isroutine(value) and not isinstance(value, PLAIN))


def _is_alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


def _attributes(owner: Any) -> dict[str, Any]:
    """Returns the attributes of an object, without those that every `nn.Module` has."""
    own = dict(getattr(owner, "__dict__", {}))
    return {name: value for name, value in own.items() if name not in _MODULE} if isinstance(owner, nn.Module) else own
