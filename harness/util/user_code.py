"""The user's functions: their names and places, and the errors if one fails."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from harness.errors import HarnessError, UserCodeError
from harness.util.addresses import without_secrets

CONTRACTS = {
    "model": "(number of classes) -> torch.nn.Module",
    "forward": "(images (B, C, H, W)) -> logits, a tensor (B, classes)",
    "augment": "(uint8 tensor (3, H, W)) -> uint8 tensor (3, H, W)",
    "loss": "(logits (B, classes), targets (B,)) -> tensor (), the mean over the batch",
    "optimizer": "(parameters, lr=, weight_decay=) -> torch.optim.Optimizer",
    "scheduler": "(optimizer, epochs) -> scheduler with a step() that takes no argument",
    "callback": "a hook on_...(self, state), which returns nothing",
    "metrics": "(labels (N,), probabilities (N, classes)) -> number, or None if it is undefined",
    "metric": "(logits (B, classes), targets (B,)) -> tensor (B,), one number per example",
    "groups": "(path below the data folder) -> name of the group, or None",
    "search_space": "(trial) -> {field: value}",
}
TRACEBACK = "--debug shows the traceback"
OURS = Path(__file__).parents[1]
STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
INSTALLED = {"site-packages", "dist-packages"}


@contextlib.contextmanager
def calling(part: str, function: object, name: str = "") -> Iterator[None]:
    """Converts an error of a user's function to a `UserCodeError`.

    A HarnessError, Ctrl-C and SIGTERM are raised unchanged, and also all errors of this package's functions.

    Args:
        part: The kind of the function: a key of `CONTRACTS`.
        function: The function that is called.
        name: The name to show. Default: the name of the function.
    """
    try:
        yield
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        if is_ours(function) and not frame_of(error):
            raise
        raise raised(part, function, error, name) from error


def raised(part: str, function: object, error: BaseException, name: str = "") -> UserCodeError:
    """The error for an exception in `function`. Names the innermost line of the user's code."""
    frame = frame_of(error)
    named = name or name_of(function)
    what = f"{_label(part, named)} failed at {frame}" if frame else f"{title(part, function, named)} failed"
    return UserCodeError(what, reason(error), _fix(part))


def returned(part: str, function: object, value: object, must: str, name: str = "") -> UserCodeError:
    """The error for a `value` that `function` must not return. `must` says what it must return."""
    what = f"{title(part, function, name)} returned {described(value)}"
    return UserCodeError(what, f"it must return {must}", _fix(part))


def reason(error: BaseException) -> str:
    """The type and the message of an error, without passwords and tokens."""
    return without_secrets(f"{type(error).__name__}: {error}".rstrip(": "))


def title(part: str, function: object, name: str = "") -> str:
    """Describes a function: its part, its name, and its first line if it is the user's."""
    location = place_of(function)
    return _label(part, name or name_of(function)) + (f" ({location})" if location else "")


def described(value: Any) -> str:
    """Describes a value: its type, and for a tensor its shape, dtype and device."""
    if value is None:
        return "None"
    if hasattr(value, "requires_grad") and hasattr(value, "shape"):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')} on {value.device}"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def name_of(function: Any) -> str:
    """The name of a function or class; for an object, the name of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__qualname__).rpartition("<locals>.")[2]


def place_of(function: Any) -> str:
    """`file:line` of the first line of a user's function; empty for a library's function."""
    code = _code_of(function)
    return f"{short_path(code.co_filename)}:{code.co_firstlineno}" if code and is_users(code.co_filename) else ""


def frame_of(error: BaseException) -> str:
    """`file:line` of the innermost line of the user's code that led to `error`; empty if there is none."""
    location, trace = "", error.__traceback__
    while trace is not None:
        location = _place(trace) or location
        trace = trace.tb_next
    return location


@functools.lru_cache(maxsize=1024)
def is_users(filename: str) -> bool:
    """Whether a file is the user's code, and not of Python, an installed package or this package."""
    path = Path(filename)
    if filename.startswith("<") or not INSTALLED.isdisjoint(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in (OURS, *STANDARD))


def is_ours(function: Any) -> bool:
    """Whether a function is defined in this package."""
    code = _code_of(function)
    return code is not None and Path(code.co_filename).is_relative_to(OURS)


def short_path(path: str) -> str:
    """A path relative to the current folder, if it is below it."""
    with contextlib.suppress(ValueError, OSError):
        return str(Path(path).resolve().relative_to(Path.cwd()))
    return path


def _place(trace: TracebackType) -> str:
    filename = trace.tb_frame.f_code.co_filename
    return f"{short_path(filename)}:{trace.tb_lineno}" if is_users(filename) else ""


def _code_of(function: Any) -> CodeType | None:
    """The code that runs when `function` is called: `__init__` of a class, `forward` of a module."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        function = function.__init__
    elif not hasattr(function, "__code__") and not inspect.ismethod(function):
        kind = type(function)
        function = getattr(kind, "forward", None) or vars(kind).get("__call__")
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _label(part: str, name: str) -> str:
    return name if name == part else f"{_field(part)} {name}"


def _field(part: str) -> str:
    return "model" if part == "forward" else part


def _fix(part: str) -> str:
    return f"{_field(part)} must be {CONTRACTS[part]}; {TRACEBACK}"
