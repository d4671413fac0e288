"""Reads an `Experiment` from the text of its file. To run the file would be slow, since it may import torch."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
from pathlib import Path

from harness.config.experiment import Experiment
from harness.errors import HarnessError

FIELDS = {field.name for field in dataclasses.fields(Experiment)}


def read_text(path: Path, needed: set[str]) -> Experiment | None:
    """Reads `experiment = Experiment(...)` with literal values from a file's text.

    Args:
        path: The file.
        needed: Fields whose values must be literals. Another field whose value is not a literal gets its default.

    Returns:
        The experiment, or None if the file has to be run with `load`: the text has no such line, a needed value is not
        a literal, or a module that the file imports is missing.
    """
    with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError, HarnessError):
        tree = ast.parse(path.read_bytes())
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        calls = [node.value for node in tree.body if isinstance(node, ast.Assign) and _is_name(node.targets[0])]
        if sum(map(_is_name, names)) != 1 or not calls or not _is_imported(tree) or not _is_complete(tree):
            return None
        call = calls[0]
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Experiment" or call.args:
            return None
        values = {}
        for keyword in call.keywords:
            if keyword.arg not in FIELDS:
                return None
            try:
                values[keyword.arg] = ast.literal_eval(keyword.value)
            except ValueError:
                if keyword.arg in needed:
                    return None
        return Experiment(**values)
    return None


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "experiment"


def _is_imported(tree: ast.Module) -> bool:
    """Whether `Experiment` is imported from `harness`."""
    ours = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "harness"]
    return any(alias.name == "Experiment" and alias.asname is None for node in ours for alias in node.names)


def _is_complete(tree: ast.Module) -> bool:
    """Whether the packages that the module imports at its top level are installed. Imports nothing."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("" if node.level else str(node.module).partition(".")[0])
    return all(name and importlib.util.find_spec(name) is not None for name in names)
