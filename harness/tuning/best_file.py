"""Writes `best.py`: the experiment file with the best trial's values. `harness run` reproduces that trial."""

from __future__ import annotations

import ast
import importlib.util
import symtable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import MODULE_PREFIX, ExperimentFile
from harness.tuning.choices import literal
from harness.tuning.search_plan import differences


class CannotBeWrittenError(Exception):
    """A value cannot be written as Python code."""


def best_file(
    file: ExperimentFile,
    best: Experiment,
    about: str,
    parameters: Mapping[str, Any],
    number: int = 0,
    threads: int | None = None,
) -> str:
    """Returns the text of `best.py`: the experiment file, changed so that it defines the experiment `best`.

    A value that cannot be written as code, such as a function in a function, comes from the file's `search_space`.

    Args:
        file: The experiment file.
        best: The experiment that `best.py` defines.
        about: A comment for its first line.
        parameters: The trial's parameters, for `search_space`.
        number: The trial's number in Optuna, for `search_space`.
        threads: Number of threads that `best.py` uses; None leaves it as it is. On a CPU, another number of threads
            adds numbers in another order, and such small differences grow in training.

    Raises:
        CannotBeWrittenError: A value cannot be written, and the file has no `search_space`.
    """
    source = importlib.util.decode_source(file.code)  # in the encoding that the file names
    differs = differences(best, file.experiment)
    typed: dict[str, str] = {"name": repr(best.name)}
    asked = []
    for name, value in differs.items():
        try:
            typed[name] = _typed(value)
        except CannotBeWrittenError:
            asked.append(name)
    known = ", ".join(f"{name!r}: {literal(value)}" for name, value in parameters.items())
    lines = []
    if threads:
        lines += ["import torch  # noqa: E402", "", f"torch.set_num_threads({threads})  # as it was trained"]
    if asked:
        if not _defines(source, "search_space"):
            raise CannotBeWrittenError(f"{', '.join(asked)} cannot be written as code")
        lines += [
            "from harness import fixed_trial  # noqa: E402",
            "",
            f"best_values = search_space(fixed_trial({{{known}}}, number={number}))",
        ]
        typed |= {name: f"best_values[{name!r}]" for name in asked}
    lines += ["experiment = experiment.replace(", *(f"    {name}={text}," for name, text in typed.items()), ")"]
    start, body, end = _cut(source)
    beside = _beside(source, file.path.parent)
    # this file is UTF-8: with the comment and an empty line first, Python ignores an encoding that the source names
    return "\n".join([f"# {about}", "", start, *beside, body, f"# {about}", *lines, "", end]).rstrip() + "\n"


def _defines(source: str, name: str) -> bool:
    """Whether a module's text assigns or imports `name`, in any kind of statement."""
    table = symtable.symtable(source, "experiment", "exec")
    return name in table.get_identifiers() and (table.lookup(name).is_assigned() or table.lookup(name).is_imported())


def is_literal(value: Any) -> bool:
    """Whether `repr` of the value is Python code for it."""
    if isinstance(value, (tuple, list)):
        return all(is_literal(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _typed(value: Any) -> str:
    """Python code for a value: for a function, its name in this file or an import."""
    if is_literal(value):
        return repr(value)
    name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", "")
    if not name or "<" in name or not module:
        raise CannotBeWrittenError(f"{value!r} has no name")
    if module.startswith(MODULE_PREFIX):
        return str(name)
    return f'__import__("importlib").import_module({module!r}).{name}'


def _cut(source: str) -> tuple[str, str, str]:
    """Splits the source into three parts: up to the last `from __future__ import`, the rest, and the
    `if __name__ == "__main__":` blocks.
    """
    lines = source.split("\n")  # not `splitlines`: Python starts a new line only at "\n"
    start, first, rest = "", 0, ""
    mains: list[int] = []  # indices of lines
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            first = node.end_lineno or node.lineno
            line = lines[first - 1].encode()  # columns count bytes
            start = "\n".join([*lines[: first - 1], line[: node.end_col_offset].decode()])
            rest = line[node.end_col_offset :].decode().strip().removeprefix(";").strip()
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            mains += range(node.lineno - 1, node.end_lineno or node.lineno)
    body = [lines[index] for index in range(first, len(lines)) if index not in mains]
    text = "\n".join([rest, *body] if rest else body)
    return start, text.rstrip() + "\n", "\n".join(lines[index] for index in mains)


def _beside(source: str, folder: Path) -> list[str]:
    """Lines that let `best.py` import modules beside the original file, if the source imports any."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    if not any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for name in names):
        return []
    return ["import sys", "", f"sys.path.append({str(folder.absolute())!r})"]
