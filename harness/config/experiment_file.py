"""Reading an `Experiment` from a Python file, and finding such files."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config.experiment import Experiment
from harness.errors import ExperimentError, HarnessError, Terminated, nearest

FOLDER = Path("experiments")


def find(name: str, folder: Path = FOLDER) -> Path:
    """The file that `name` means: a path, or the name of a file in `folder`. Raises ExperimentError for none."""
    for path in (Path(name), folder / name, folder / f"{name}.py"):
        with contextlib.suppress(OSError):  # a name that is too long for the system, say
            if path.is_file():
                return path
    known = [path.stem for path in files(folder)]
    raise ExperimentError(
        f"there is no experiment {name!r}{nearest(Path(name).stem, known)}",
        f"looked for {name} and {folder / Path(name).stem}.py in this folder",
        f"one of {', '.join(known)}" if known else "a path to FILE.py, or cd to the project",
    )


def files(folder: Path = FOLDER) -> list[Path]:
    """The experiment files in `folder`, sorted; none where it is not there."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def load(path: Path | str, code: bytes | None = None, beside: Path | None = None) -> Experiment:
    """The `experiment` that the file at `path` defines, named after the file unless it has a name.

    Args:
        path: The file, which is run.
        code: Its content, where that has been read before; so what was looked at is what is run. Bytecode that lies
            beside the file is never used.
        beside: The folder that it may import from; by default its own.

    Raises:
        ExperimentError: It cannot be read or run, or defines no Experiment. The message has the line.
    """
    path = Path(path)
    module_name = _module_name(path)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ExperimentError(f"{path} is no experiment", "it is not a Python file", "name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # so that what the file defines can be found by its name
    folder = str((path.parent if beside is None else beside).resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # the file may import what lies there; last, so that it can hide nothing
    try:
        exec(compile(path.read_bytes() if code is None else code, str(path), "exec"), module.__dict__)
    except HarnessError as error:
        error.what = f"{_line_of(error, path)}: {error.what}"
        raise
    except SyntaxError as error:
        file = Path(error.filename or path)  # the experiment, or what it imports
        file = path if file == path.absolute() else file
        raise ExperimentError(
            f"{file}:{error.lineno or 1}: syntax error", f"{error.msg}: {(error.text or '').strip()}", f"mend {file}"
        ) from error
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # SystemExit, and whatever else a file may raise
        raise ExperimentError(
            f"{_line_of(error, path)}: the experiment file failed", f"{type(error).__name__}: {error}", f"mend {path}"
        ) from error
    experiment = getattr(module, "experiment", None)
    if not isinstance(experiment, Experiment):
        found = "it defines none" if experiment is None else f"its `experiment` is a {type(experiment).__name__}"
        raise ExperimentError(
            f"{path} has no experiment", found, f'add to {path}: experiment = Experiment(model="resnet18")'
        )
    return experiment.named(folder_name(path.stem))


def search_space(path: Path | str) -> Callable[[Any], dict[str, Any]] | None:
    """The function `search_space(trial)` of a file that `load` has read; None where it has none."""
    found = getattr(sys.modules.get(_module_name(Path(path))), "search_space", None)
    if found is not None and not callable(found):
        raise ExperimentError(
            f"search_space in {path} is no function",
            f"it is a {type(found).__name__}",
            'def search_space(trial): return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}',
        )
    return found


def loaded(path: Path | str) -> Experiment:
    """The experiment of a file that `load` has read, as the file says it."""
    found: Experiment = sys.modules[_module_name(Path(path))].experiment
    return found.named(folder_name(Path(path).stem))


def folder_name(stem: str) -> str:
    """A file's name as the name of runs: `My Trial` -> `my-trial`."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.") or "experiment"


def _module_name(path: Path) -> str:
    return f"harness_experiment_{path.stem}"


def _line_of(error: BaseException, path: Path) -> str:
    """`file:line` of the last line of `path` that led to `error`."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        frame.lineno for frame in frames if Path(frame.filename) == path or Path(frame.filename) == path.absolute()
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)
