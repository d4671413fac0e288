"""Finds experiment files, runs them, and returns what they define."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.config.experiment import Experiment
from harness.config.object_text import FUNCTION_NAME, is_same_record
from harness.errors import ExperimentError, HarnessError, Terminated, nearest

FOLDER = Path("experiments")
MODULE_PREFIX = "harness_experiment_"  # an experiment file is imported as a module with this prefix


def find(name: str, folder: Path = FOLDER) -> Path:
    """Finds a file by its path, or by its name in `folder`. Raises ExperimentError if there is none."""
    for path in (Path(name), folder / name, folder / f"{name}.py"):
        with contextlib.suppress(OSError):  # for example, a name that is too long for the system
            if path.is_file():
                return path
    known = [path.stem for path in files(folder)]
    places = dict.fromkeys((name, f"{(folder / Path(name).stem).as_posix()}.py"))
    raise ExperimentError(
        f"there is no experiment {name!r}{nearest(Path(name).stem, known)}",
        f"looked for {' and '.join(places)} in this folder",
        f"harness list; the experiments are {', '.join(known)}"
        if known
        else "the path of an experiment file, or cd to the project's folder",
    )


def files(folder: Path = FOLDER) -> list[Path]:
    """The experiment files in `folder`, sorted. Empty if the folder does not exist."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment file that was run: its content, and what it defines."""

    path: Path
    code: bytes  # the content that was run; the file may change later
    module: ModuleType = field(repr=False)
    experiment: Experiment  # as in the file, without settings from the command line

    @classmethod
    def run(cls, path: Path | str, code: bytes | None = None, beside: Path | None = None) -> ExperimentFile:
        """Runs the file at `path`.

        Args:
            path: The file.
            code: Its content, if it was read before, so that the code that was checked is the code that is run.
                A bytecode file is never used.
            beside: The folder that the file may import from. Default: the folder of the file.

        Raises:
            ExperimentError: The file cannot be read or run, or defines no Experiment. The message names the line.
        """
        path = Path(path)
        name = f"{MODULE_PREFIX}{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ExperimentError(
                f"{path} is not an experiment", "it is not a Python file", "give a file whose name ends in .py"
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pickle looks up the file's functions and classes by module name
        folder = str((path.parent if beside is None else beside).resolve())
        if folder not in sys.path:
            sys.path.append(folder)  # for imports from the same folder; last, so that no installed package is hidden
        code = path.read_bytes() if code is None else code
        _execute(code, path, module)
        experiment = getattr(module, "experiment", None)
        if not isinstance(experiment, Experiment):
            why = (
                "it does not define `experiment`"
                if experiment is None
                else f"its `experiment` is of type {type(experiment).__name__}"
            )
            raise ExperimentError(
                f"{path} has no experiment", why, f'add to {path}: experiment = Experiment(model="resnet18")'
            )
        return cls(path, code, module, experiment.named(folder_name(path.stem)))

    @property
    def search_space(self) -> Callable[[Any], dict[str, Any]] | None:
        """The file's function `search_space(trial)`, or None. Raises ExperimentError if it is not a function."""
        space: Callable[[Any], dict[str, Any]] | None = getattr(self.module, "search_space", None)
        if space is not None and not callable(space):
            raise ExperimentError(
                f"search_space in {self.path} is not a function",
                f"it is of type {type(space).__name__}",
                'def search_space(trial): return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}',
            )
        return space


def load(path: Path | str) -> Experiment:
    """Runs an experiment file and returns the `Experiment` that it defines.

    Args:
        path: The file.

    Returns:
        The file's `experiment`. If it has no name, it gets the name of the file.

    Raises:
        ExperimentError: The file cannot be read or run, or defines no Experiment. The message names the line.

    Example:
        >>> import harness
        >>> harness.load("experiments/quickstart.py").name
        'quickstart'
    """
    return ExperimentFile.run(path).experiment


def is_same_function(recorded: Any, now: Any, same: Callable[[Any, Any], bool] = is_same_record) -> bool:
    """Whether two recorded values name the same functions. The name of the experiment file does not count."""
    texts = [re.sub(rf"{MODULE_PREFIX}[^:()=, ]+", MODULE_PREFIX, json.dumps(value)) for value in (recorded, now)]
    return same(*map(json.loads, texts))


def is_function(value: Any) -> bool:
    """Whether a recorded value is the name of a function, or a list that contains one."""
    if isinstance(value, list):
        return any(map(is_function, value))
    if not isinstance(value, str):
        return False
    return value.startswith(MODULE_PREFIX) or FUNCTION_NAME.fullmatch(value) is not None


def folder_name(stem: str) -> str:
    """Converts a file's name to the name of its runs: `My Trial` -> `my-trial`."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.") or "experiment"


def _execute(code: bytes, path: Path, module: ModuleType) -> None:
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except HarnessError as error:
        error.what = f"{_line_of(error, path)}: {error.what}"
        raise
    except SyntaxError as error:
        file = Path(error.filename or path)  # the experiment file, or a file that it imports
        file = path if file == path.absolute() else file
        raise ExperimentError(
            f"{file}:{error.lineno or 1}: syntax error", f"{error.msg}: {(error.text or '').strip()}", f"correct {file}"
        ) from error
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # also SystemExit
        raise ExperimentError(
            f"{_line_of(error, path)}: the experiment file failed",
            f"{type(error).__name__}: {error}",
            f"correct {path}",
        ) from error


def _line_of(error: BaseException, path: Path) -> str:
    """`file:line` of the last line of `path` in the traceback of `error`."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        frame.lineno for frame in frames if Path(frame.filename) == path or Path(frame.filename) == path.absolute()
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)
