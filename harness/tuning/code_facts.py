"""Identifies the functions of a study. A study does not continue if its functions were edited since it began."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from harness.config.experiment_file import ExperimentFile
from harness.errors import UsageError
from harness.models.code_identity import UnknownCodeError, identity_of, version_of

SPACE = "search_space"
VERSIONS = "versions"  # of Python and libraries; code of other versions cannot be compared


def code_facts(file: ExperimentFile) -> dict[str, str]:
    """Returns the identity of `search_space` and of each function in the experiment, by field name.

    The identity covers the functions that a function calls and the names that it reads from its file. If the code of a
    function cannot be read, the identity is that of the whole file, without comments.
    """
    parts = [(item.name, getattr(file.experiment, item.name)) for item in dataclasses.fields(file.experiment)]
    tree = ast.parse(importlib.util.decode_source(file.code))
    whole = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    known = {name: " ".join(_identities(value, whole)) for name, value in [(SPACE, file.search_space), *parts]}
    return {VERSIONS: _versions(tree), **{name: text for name, text in known.items() if text}}


def require_same_code(study: str, known: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises UsageError if a function was edited since the study began. Does nothing if the versions differ."""
    if known.get(VERSIONS) != now.get(VERSIONS):
        return
    edited = [name for name, text in now.items() if known.get(name, text) != text]
    if edited:
        raise UsageError(
            f"the study {study!r} was started with different code: {', '.join(edited)} changed since then",
            "trials with different code cannot be compared",
            "--study with another name, or undo the changes in the experiment file",
        )


def _identities(value: Any, whole: str) -> Iterator[str]:
    """The identity of each function and object in a field's value."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _identities(item, whole)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        is_object = not hasattr(value, "__qualname__") and not isinstance(value, functools.partial)
        try:
            yield identity_of(type(value) if is_object else value)
        except UnknownCodeError:
            yield whole


def _versions(tree: ast.Module) -> str:
    """Versions of Python, torch, and the libraries that the file imports."""
    names = {"torch", "torchvision"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    known = {version_of(name) for name in names - {"harness"}} - {None}
    return ", ".join(["python {}.{}.{}".format(*sys.version_info[:3]), *sorted(map(str, known))])
