"""The copy of an experiment's file in a run folder, or beside the champion: whether it may be run, and its model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import FOLDER, ExperimentFile, files, is_same_function
from harness.config.object_text import object_text
from harness.errors import HarnessError, ModelError, UsageError
from harness.runs import champion, trust
from harness.runs.run_folder import RunFolder

COPY = "experiment.py"
_of_notebook: dict[Path, Experiment] = {}  # by run folder: what cells of this process made, and no file holds


def keep_of_notebook(folder: Path, experiment: Experiment) -> None:
    """Keeps the experiment of a run that has no file, so that this process can load and refit the run's models."""
    _of_notebook[folder.resolve()] = experiment


def of_notebook(folder: Path) -> Experiment | None:
    """The experiment that this process made for a run without a file; None if it did not."""
    return _of_notebook.get(folder.resolve())


class UntrustedError(UsageError):
    """A file would have to be run that was not made in this project."""


def load_copy(copy: Path, trusted: bool = False) -> Experiment:
    """Runs the copy of an experiment's file, and returns its experiment.

    If a file in `experiments/` has the same content, that file is run instead, so that its imports work. A copy can
    import what lies in `experiments/`, and nothing that came with it.

    Raises:
        UntrustedError: It was not made in this project, and is not `trusted`.
    """
    code = copy.read_bytes()
    file = _runnable(copy, code, trusted)
    if file is None:
        raise UntrustedError(
            f"{copy} is not run",
            "nothing shows that its run was made in this project, with this file, and code can do anything",
            f"read {quote(str(copy))}; then the same command with --trust runs it, this once",
        )
    return ExperimentFile.run(file, code, beside=FOLDER).experiment


def may_run(copy: Path, trusted: bool = False) -> bool:
    """Whether `load_copy` would run it."""
    return _runnable(copy, copy.read_bytes(), trusted) is not None


def model_function(beside: Path, trusted: bool = False) -> Callable[[str], Callable[[int], Any]]:
    """Returns a function that finds the user's model function by its name.

    It looks for `experiment.py` next to the checkpoint `beside`, then one folder up, and then for an experiment that
    a notebook's cell made in this process. Raises UntrustedError as `load_copy` does.
    """

    def find(named: str) -> Callable[[int], Any]:
        places = (beside.resolve().parent / COPY, beside.resolve().parents[1] / COPY)
        copy = next((path for path in places if path.is_file()), places[1])
        try:
            made = load_copy(copy, trusted) if copy.is_file() else of_notebook(copy.parent)
            model = made.model if made is not None else None
        except UntrustedError:
            raise
        except HarnessError as error:
            raise ModelError(f"{beside} cannot be built again", f"{error.what}: {error.why}", f"mend {copy}") from error
        if not callable(model) and named.startswith("__main__:") and not copy.is_file():
            raise ModelError(
                f"{beside} cannot be built again",
                f"its model is the function {named.removeprefix('__main__:')} of a notebook, which no file holds",
                "save the notebook's cell as experiments/NAME.py, then harness run NAME; or name another run",
            )
        if not callable(model):
            raise ModelError(
                f"{beside} cannot be built again",
                f"its model is a function of an experiment file ({named}), and {copy} is not there, or has another",
                "keep the run folder together with its checkpoints",
            )
        if not is_same_function(named, object_text(model)):
            raise ModelError(
                f"{beside} cannot be built again",
                f"its model is {named}, and {copy} gives {object_text(model)}",
                "harness run best.py of its study" if "study-" in str(copy) else "keep each run's own experiment.py",
            )
        return model

    return find


def _runnable(copy: Path, code: bytes, trusted: bool) -> Path | None:
    """Which file to run for a copy with that content: the one in `experiments/` that is the same, or the copy itself.

    None where it was not made in this project, and is not `trusted`.
    """
    for path in files():
        with contextlib.suppress(OSError):  # a link that leads nowhere, say
            if path.read_bytes() == code:
                return path
    return copy if trusted or trust.made_code(_run_id(copy), code) else None


def _run_id(copy: Path) -> str:
    """Which run the copy says that it belongs to; nothing where it does not say."""
    folder = copy.parent
    try:
        if (folder / champion.RECORD).is_file():
            return champion.run_id(folder)
        return RunFolder.open(folder).id
    except HarnessError:
        return ""
