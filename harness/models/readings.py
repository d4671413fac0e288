"""The ways in which a file may store a model's weights: directly, under keys, or with a wrapper's prefixes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.engine.foreign_objects import is_not_read, kind_of

# name parts that torch's wrappers add at any depth: DataParallel, torch.compile, FSDP, activation checkpointing
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
DEPTH = 8  # of nested keys
Metadata = dict[str, Any]  # module -> the version of its weights


@dataclass(frozen=True)
class Reading:
    """A part of a file, as a state dict of a model.

    Attributes:
        key: The place in the file: keys and parts of names, joined by dots; empty for the whole file.
        state: Name below `key` -> tensor.
        metadata: The `_metadata` of the state dict, if the file has it.
        names: Name below `key` -> full name in the file.
        within: The prefix that was added to the names, if the file has only this part of the model.
    """

    key: str
    state: dict[str, Tensor]
    metadata: Metadata
    names: dict[str, str]
    within: str = ""

    def put_under(self, part: str) -> Reading:
        """Returns the same reading with names for one part of a model."""
        state = {f"{part}.{name}": value for name, value in self.state.items()}
        names = {f"{part}.{name}": full for name, full in self.names.items()}
        metadata = {f"{part}.{name}".rstrip("."): version for name, version in self.metadata.items()}
        return Reading(self.key, state, metadata, names, part)

    def with_metadata(self, metadata: Mapping[str, Any] | None) -> OrderedDict[str, Tensor]:
        """Returns the state dict for `load_state_dict`."""
        state = OrderedDict(self.state)
        if metadata:
            state._metadata = metadata  # type: ignore[attr-defined]
        return state


@dataclass(frozen=True)
class Contents:
    """The content of a file, with keys joined by dots.

    Attributes:
        tensors: Full name -> tensor.
        objects: Full name -> class of a Python object that was not read.
        metadata: Full name of a module -> version of its weights.
    """

    tensors: dict[str, Tensor]
    objects: dict[str, str]
    metadata: Metadata

    def readings(self, least: int) -> Iterator[Reading]:
        """Yields all parts of the file with at least `least` tensors; the whole file first.

        Then it yields them again without the prefixes of torch's wrappers.
        """
        plain = {name: name for name in self.tensors}
        bare = {_unwrapped(name): name for name in self.tensors}
        for full_names in [plain, bare] if len(bare) == len(plain) and bare != plain else [plain]:
            for key in _prefixes(full_names, least):
                yield self._reading(key, full_names, _unwrapped if full_names is bare else str)

    def left_aside(self, used: Set[str]) -> list[str]:
        """Returns the parts of the file without any of the tensors `used`, each by its shortest unique name."""
        used_parts = {part for name in used for part in _parents(name)}
        aside: dict[str, None] = {}
        for name in (*self.tensors, *self.objects):
            part = next((part for part in (*_parents(name), name) if part and part not in used_parts), "")
            if part and name not in used:
                aside[f"{part} ({self.objects[part]})" if part in self.objects else part] = None
        return [*aside]

    def _reading(self, key: str, full_names: Mapping[str, str], rename: Any) -> Reading:
        start = f"{key}." if key else ""
        names = {name.removeprefix(start): full for name, full in full_names.items() if name.startswith(start)}
        renamed = {rename(name): version for name, version in self.metadata.items()}
        below = {name.removeprefix(start): version for name, version in renamed.items() if name.startswith(start)}
        metadata = {"": renamed[key], **below} if key in renamed else below
        return Reading(key, {name: self.tensors[full] for name, full in names.items()}, metadata, names)


def contents_of(content: Mapping[str, Any]) -> Contents:
    """Returns the tensors and the objects in a file's dictionary, at any depth."""
    contents = Contents({}, {}, {})
    _collect(contents, "", content, DEPTH)
    return contents


def _collect(contents: Contents, place: str, value: Any, depth: int) -> None:
    if isinstance(value, Tensor):
        contents.tensors[place] = value.detach()
    elif is_not_read(value):
        contents.objects[place] = kind_of(value)
    elif depth and isinstance(value, (dict, list, tuple)):
        versions = getattr(value, "_metadata", None)
        for module, version in versions.items() if isinstance(versions, dict) else ():
            contents.metadata[_joined(place, str(module))] = version
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            _collect(contents, _joined(place, str(name)), item, depth - 1)


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


def _parents(name: str) -> list[str]:
    """ "a.b.c" -> "", "a", "a.b"."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts))]


def _prefixes(names: Mapping[str, str], least: int) -> list[str]:
    """Returns the prefixes that at least `least` names share, the shortest first."""
    counts: dict[str, int] = {}
    for name in names:
        for parent in _parents(name):
            counts[parent] = counts.get(parent, 0) + 1
    return sorted((key for key, count in counts.items() if count >= least), key=lambda key: key.count(".") + bool(key))


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
