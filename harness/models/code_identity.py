"""Identifies a function by the code and the values that its result depends on, to detect an edit.

A function of an installed library is identified by its name and the library's version. A function of the user is
identified by its bytecode, constants, defaults and closure, and by the global values and functions that it reads.
These are identified in the same way.
"""

from __future__ import annotations

import contextlib
import dis
import enum
import functools
import hashlib
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.util.user_code import OURS, is_users

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
NAMED = (torch.dtype, torch.device, torch.layout, torch.memory_format)  # their text identifies them
OPERATORS = ("aten", "prims", "prim", "torchvision")  # namespaces of operators of a library
Seen = dict[int, tuple[int, object]]  # id -> (number of the value, the value); it is stored so that the id stays valid
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
READS_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


class UnknownCodeError(Exception):
    """A value cannot be identified, so an edit of it would not be detected; the message names it."""


def identity_of(value: object) -> str:
    """Returns the SHA-256 of a value's identity; for a function, of everything that its result depends on.

    Raises UnknownCodeError for an object, a compiled function, or anything else whose content cannot be read.
    """
    sha256 = hashlib.sha256()
    for part in _parts(value, {}):
        sha256.update(part.encode())
        sha256.update(b"\0")
    return sha256.hexdigest()


def version_of(module: str) -> str | None:
    """Returns the library of a module with its version; None for modules of the user and of this package."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "builtins":
        return "python {}.{}.{}".format(*sys.version_info[:3])
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or (file is not None and _is_followed(file)):
        return None
    version = _installed(top) or getattr(sys.modules.get(top), "__version__", None)
    return None if version is None else f"{top} {version}"


@functools.cache
def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _is_followed(file: str) -> bool:
    return is_users(file) or file.startswith(str(OURS))


def _parts(value: object, seen: Seen) -> Iterator[str]:
    """Yields texts that together identify a value."""
    if isinstance(value, (*PLAIN, *NAMED)):
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in seen:  # for example a function that calls itself
        yield f"again {seen[id(value)][0]}"
        return
    seen[id(value)] = len(seen), value
    content = _content(value, seen)
    if content is None:
        raise UnknownCodeError(_name(value))
    yield from content


def _content(value: Any, seen: Seen) -> Iterator[str] | None:
    """Returns the parts of a value, or None if they cannot be read."""
    if isinstance(value, enum.Enum):
        return iter([f"{type(value).__qualname__} {value.name}", *_parts(value.value, seen)])
    if isinstance(value, Tensor):
        return _array(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy(), value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _array(np.ascontiguousarray(value), value)
    if isinstance(value, (tuple, list, set, frozenset, Mapping)) and _is_library(type(value)):
        return _items(value, seen)
    if isinstance(value, functools.partial):
        return _joined([value.func, value.args, value.keywords], seen)
    if isinstance(value, ModuleType):
        known = version_of(value.__name__)
        return None if known is None else iter([f"module {value.__name__} {known}"])
    if isinstance(value, MethodType):
        return _joined([value.__func__, value.__self__], seen)
    if isinstance(value, (FunctionType, type)) or hasattr(value, "__wrapped__"):
        return _defined(value, seen)
    if isinstance(value, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        name = str(value)
        return iter([f"{name} {torch.__version__}"]) if name.partition(".")[0] in OPERATORS else None
    if isinstance(value, (BuiltinFunctionType, WrapperDescriptorType, MethodDescriptorType, np.ufunc)):
        known = version_of(getattr(value, "__module__", None) or "builtins")
        return None if known is None else iter([f"{value.__name__} {known}"])
    return None


def _defined(value: Any, seen: Seen) -> Iterator[str] | None:
    """Returns the parts of a function, a class, or a cached function."""
    if isinstance(value, FunctionType):
        file, module = value.__code__.co_filename, str(value.__globals__.get("__name__", ""))
        known = None if _is_followed(file) else version_of(module)
        return (
            _function(value, seen) if known is None else _wrapper(value, f"{module}:{value.__qualname__} {known}", seen)
        )
    if isinstance(value, type):
        known = version_of(value.__module__) if all(map(_is_library, value.__mro__)) else None
        return _class(value, seen) if known is None else iter([f"{value.__module__}:{value.__qualname__} {known}"])
    return _parts(value.__wrapped__, seen) if _is_library(type(value)) else None


def _wrapper(function: FunctionType, name: str, seen: Seen) -> Iterator[str]:
    """Yields the parts of a library's function. A decorator, such as `torch.no_grad`, has the user's in its closure."""
    yield name
    for cell in function.__closure__ or ():
        try:
            yield from _parts(cell.cell_contents, seen)
        except ValueError:  # an empty cell
            yield "empty"
        except UnknownCodeError:
            if not _is_library(type(cell.cell_contents)):
                raise
            yield type(cell.cell_contents).__qualname__


def _function(function: FunctionType, seen: Seen) -> Iterator[str]:
    yield f"function {function.__qualname__}"
    yield from _joined([function.__defaults__, function.__kwdefaults__], seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield f"closure {name}"
        with contextlib.suppress(ValueError):  # an empty cell
            yield from _parts(cell.cell_contents, seen)
    yield from _code(function.__code__, function.__globals__, seen)


def _code(code: CodeType, names: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    """Yields the parts of a code object, and of the values of the global names that it reads."""
    table = getattr(code, "co_exceptiontable", b"")  # Python 3.11 and newer
    yield f"{code.co_code!r} {code.co_names} {code.co_varnames} {code.co_freevars} {table!r}"
    for constant in code.co_consts:
        yield from _code(constant, names, seen) if isinstance(constant, CodeType) else _parts(constant, seen)
    instructions = list(dis.get_instructions(code))
    attributes = sorted({str(each.argval) for each in instructions if each.opname in ATTRIBUTES})
    for name in sorted({str(each.argval) for each in instructions if each.opname in READS_GLOBAL}):
        yield f"global {name}"
        if name in names:
            yield from _global(names[name], attributes, seen)
    for name in sorted({str(each.argval) for each in instructions if each.opname == "IMPORT_NAME"}):
        if name not in sys.modules:
            raise UnknownCodeError(f"module {name or '.'}")
        yield from _global(sys.modules[name], attributes, seen)


def _global(value: object, attributes: list[str], seen: Seen) -> Iterator[str]:
    """Yields the parts of a global value; for a module of the user, those of the attributes that the code may read."""
    if not isinstance(value, ModuleType) or version_of(value.__name__) is not None:
        yield from _parts(value, seen)
        return
    yield f"module {value.__name__}"
    for name in attributes:
        if name in vars(value) and vars(value)[name] is not value:
            yield f"attribute {name}"
            yield from _global(vars(value)[name], attributes, seen)


def _class(kind: type, seen: Seen) -> Iterator[str]:
    yield f"class {kind.__qualname__}"
    for base in kind.__bases__:
        yield from _parts(base, seen)
    for name, value in sorted(vars(kind).items()):
        if name.startswith("__") and not callable(value):
            continue  # for example its module or its annotations
        yield f"member {name}"
        yield from _parts(getattr(value, "__func__", None) or getattr(value, "fget", None) or value, seen)


def _items(value: Any, seen: Seen) -> Iterator[str]:
    yield f"{type(value).__name__} {len(value)}"
    if isinstance(value, (set, frozenset)):
        yield from sorted("\0".join(_parts(item, seen)) for item in value)
        return
    for item in value.items() if isinstance(value, Mapping) else value:
        yield from _parts(item, seen)


def _array(content: Any, value: Any) -> Iterator[str]:
    yield f"{type(value).__name__} {value.dtype} {tuple(value.shape)} {hashlib.sha256(content.data).hexdigest()}"


def _joined(values: list[Any], seen: Seen) -> Iterator[str]:
    for value in values:
        yield from _parts(value, seen)


def _is_library(kind: type) -> bool:
    return version_of(kind.__module__) is not None


def _name(value: Any) -> str:
    """Returns the display name of a value, without a memory address."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, nn.Module) or name is None:
        return f"an object of {type(value).__module__}.{type(value).__qualname__}"
    return f"{module}.{name}" if module else str(name)
