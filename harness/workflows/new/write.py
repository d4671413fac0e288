"""Writes the experiment file for a folder of images, with a reason for each line."""

from __future__ import annotations

import ast
import contextlib
import keyword
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from shlex import quote
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import FOLDER, find, folder_name
from harness.errors import DataError, ModelError, StorageError, UsageError
from harness.models.at_hand import imagenet_at_hand
from harness.util.files import require_writable, write_whole
from harness.util.schema import NAME
from harness.workflows.new.look import Facts, look
from harness.workflows.new.size import large_enough
from harness.workflows.new.suggest import Field, suggest

WIDTH = 110  # of a line of the file, in characters
TAKEN = {
    "harness": "it is the name of this program",
    "champion": "commands use this word for the champion",
    "pipeline": "dvc.yaml writes to runs/pipeline/",
}
WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
HEAD = '''\
"""{name}: an experiment for {count:,} images of {classes} classes, written by `harness new`.

Each line has its reason. Change any of them; `harness run {name} --dry-run` shows all other fields.
"""

from harness import Experiment, run_file

experiment = Experiment(
'''
TAIL = """\
)

if __name__ == "__main__":
    run_file(__file__)
"""


@dataclass(frozen=True)
class Written:
    """The experiment file that `write_new` wrote.

    Attributes:
        path: The file.
        facts: Facts about the images.
        fields: The fields in the file, in order.
        weights: Where the ImageNet weights are: "disk", "network" or "" for neither; None if they are not needed.
        named: The name or path to type after `harness run`.
    """

    path: Path
    facts: Facts
    fields: tuple[Field, ...]
    weights: str | None
    named: str


def write_new(name: str, data: str, typed: Mapping[str, str] | None = None, force: bool = False) -> Written:
    """Looks at the images in `data`, and writes `experiments/NAME.py`.

    Args:
        name: Of the experiment: lower-case letters, digits, '-' and '_'.
        data: A folder of images, or a table.
        typed: Fields set on the command line, as typed after `-s`.
        force: Whether to replace an existing file.

    Raises:
        UsageError: The name cannot be used, or its file exists.
        DataError: The images cannot be used.
        StorageError: The file cannot be written. An existing file is then unchanged.
    """
    path = FOLDER / f"{require_name(name)}.py"
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder",
            "the experiment would be a file of that name",
            f"harness new NAME --data {quote(data)}, with another NAME",
        )
    if path.exists() and not force:
        raise UsageError(
            f"{path} already exists",
            "it is overwritten only with --force",
            f"harness new NAME --data {quote(data)}, with another NAME; or --force to replace the file",
        )
    if FOLDER.exists() and not FOLDER.is_dir():
        raise UsageError(
            f"{FOLDER} is not a folder",
            "it must be the folder of the experiment files",
            "cd PROJECT, then harness init",
        )
    if "data" in (typed or {}):
        raise UsageError(
            "harness new does not take -s data=", "--data names the images", f"harness new {name} --data FOLDER"
        )
    again = f"harness new {name} --data {quote(data)}"
    with _advising(again):
        require_writable(FOLDER)  # before every image is read
    experiment = Experiment().override({**(typed or {}), "data": Path(data).as_posix()})
    try:
        facts = look(experiment)
    except DataError as error:
        error.fix = error.fix.replace("-s data=", "--data ")
        raise
    weights = _weights(experiment) if large_enough(facts.sizes) else None
    fields = suggest(facts, "disk" if weights is None else weights)
    text = file_text(name, facts, fields)
    with _advising(again):
        write_whole(path, text.encode())
    return Written(path, facts, tuple(fields), weights, _typed_name(name, path))


def require_name(name: str) -> str:
    """Returns `name`. Raises UsageError if it cannot be the name of an experiment, with one that can."""
    why = ""
    if NAME.fullmatch(name) is None or "." in name or not name[0].isalpha():
        why = "a name has lower-case letters, digits, '-' and '_', begins with a letter, and has at most 100 characters"
    elif name in TAKEN:
        why = TAKEN[name]
    elif name in WINDOWS:
        why = "Windows does not allow a file of that name"
    elif keyword.iskeyword(name):
        why = "it is a keyword of Python, so no other file could import it"
    elif _is_module(name):
        why = f"`import {name}` in a file of experiments/ would import it instead of the module of that name"
    if why:
        # shortened, because the typed name may be of any length
        better = folder_name(name.removesuffix(".py")[:60]).replace(".", "-").lstrip("0123456789-_") or "photos"
        better = f"my-{better}" if better == name else better
        raise UsageError(
            f"{name[:100]!r} cannot be the name of an experiment", why, f"harness new {better} --data FOLDER"
        )
    return name


def file_text(name: str, facts: Facts, fields: Sequence[Field]) -> str:
    """Returns the Python file of an experiment. Text from file names is escaped, in literals and comments only.

    Raises ExperimentError if a field does not take its value.
    """
    active = {item.name: item.value for item in fields if not item.is_suggestion}
    Experiment(**active)  # raises before anything is written
    lines = [line for item in fields for line in _lines(item)]
    head = HEAD.format(name=name, count=facts.images, classes=len(facts.counts))
    text = head + "".join(f"{line}\n" for line in lines) + TAIL
    _require_same(text, active)
    return text


def literal(value: Any) -> str:
    """A plain value as Python code on one line. Text is in double quotes, or raw if it has backslashes."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if not isinstance(value, str):
        return repr(value)
    if "\\" in value and value.isprintable() and '"' not in value and not value.endswith("\\"):
        return f'r"{value}"'
    text = repr(value)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text


def comment(text: str) -> str:
    """A text for a comment: on one line, with unprintable characters escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


@contextlib.contextmanager
def _advising(command: str) -> Iterator[None]:
    """Adds the command to repeat to a StorageError."""
    try:
        yield
    except StorageError as error:
        error.then(command)
        error.fix = error.fix if error.first else f"cd FOLDER, with a folder that you can write to, then {command}"
        raise


def _lines(field: Field) -> list[str]:
    """A field with its reason: on the same line if there is room, otherwise above."""
    code = f"    {'# ' if field.is_suggestion else ''}{field.name}={literal(field.value)},"
    reason = comment(field.reason)
    if len(code) + len(reason) + 4 <= WIDTH and not field.is_suggestion:
        return [f"{code}  # {reason}"]
    return [*(f"    # {line}" for line in textwrap.wrap(reason, WIDTH - 6)), code]


def _weights(experiment: Experiment) -> str | None:
    """Where the ImageNet weights of the model are: "disk", "network", or ""; None if they are not used."""
    if experiment.origin("weights") == "command line" or experiment.model == "small_cnn":
        return None
    try:
        return imagenet_at_hand(str(experiment.model))
    except ModelError:  # models of timm have other weights
        return None


def _require_same(text: str, fields: Mapping[str, Any]) -> None:
    """Asserts that the file sets these fields and runs nothing else: a file name can contain code."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    given = {word.arg: ast.literal_eval(word.value) for call in calls for word in call.keywords}
    assert len(calls) == 2  # Experiment(...) and run_file(...)
    assert given == dict(fields)


def _is_module(name: str) -> bool:
    """Whether Python or an installed package has a module of that name. Ignores files of the project."""
    if name in sys.stdlib_module_names or not name.isidentifier():
        return name in sys.stdlib_module_names
    # an experiment that ran in this process has added its folder to the path
    installed = [entry for entry in sys.path if Path(entry).resolve() not in (Path.cwd(), FOLDER.resolve())]
    spec = PathFinder.find_spec(name, [entry for entry in installed if Path(entry).name != FOLDER.name])
    return spec is not None and spec.origin is not None  # a folder without __init__.py has no origin


def _typed_name(name: str, path: Path) -> str:
    """The argument for `harness run`: the name, or the path if the name means another file."""
    return name if find(name) == path else quote(str(path))
