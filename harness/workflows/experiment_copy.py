"""The copy of the experiment file in a run folder, or beside the champion: decides if it may be run, and runs it."""

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
_of_notebook: dict[
    Path, Experiment
] = {}  # by run folder: experiments made in a notebook of this process, without a file


def keep_of_notebook(folder: Path, experiment: Experiment) -> None:
    """Keeps the experiment of a run without a file, so that this process can load and refit the models of that run."""
    _of_notebook[folder.resolve()] = experiment


def of_notebook(folder: Path) -> Experiment | None:
    """The experiment that this process kept for a run without a file, or None."""
    return _of_notebook.get(folder.resolve())


class UntrustedError(UsageError):
    """The command needs to run a file that was not made in this project."""


def load_copy(copy: Path, trusted: bool = False) -> Experiment:
    """Runs the copy of an experiment file, and returns its experiment.

    If a file in `experiments/` has the same content, that file is run instead, so that its imports work. A copy can
    import modules from `experiments/`, but none from its run folder.

    Raises:
        UntrustedError: It was not made in this project, and is not `trusted`.
    """
    code = copy.read_bytes()
    file = _runnable(copy, code, trusted)
    if file is None:
        raise UntrustedError(
            f"{copy} is not run",
            "its run may come from another project, and unknown code can do anything to your files",
            f"read {quote(str(copy))}; if it is harmless, type the same command with --trust",
        )
    return ExperimentFile.run(file, code, beside=FOLDER).experiment


def may_run(copy: Path, trusted: bool = False) -> bool:
    """Whether `load_copy` would run it."""
    return _runnable(copy, copy.read_bytes(), trusted) is not None


def model_function(beside: Path, trusted: bool = False) -> Callable[[str], Callable[[int], Any]]:
    """Returns a function that takes a name and returns the user's model function.

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
            raise ModelError(f"{beside} cannot be built", f"{error.what}: {error.why}", f"correct {copy}") from error
        if not callable(model) and named.startswith("__main__:") and not copy.is_file():
            raise ModelError(
                f"{beside} cannot be built",
                f"its model is the function {named.removeprefix('__main__:')} of a notebook, which is not in a file",
                "save the notebook's cell as experiments/NAME.py, then harness run NAME; or name another run",
            )
        if not callable(model):
            raise ModelError(
                f"{beside} cannot be built",
                f"its model is a function of an experiment file ({named}), and {copy} is missing or sets another model",
                "copy the whole run folder, not only its checkpoints",
            )
        if not is_same_function(named, object_text(model)):
            raise ModelError(
                f"{beside} cannot be built",
                f"its model is {named}, but {copy} sets {object_text(model)}",
                "harness run STUDY_FOLDER/best.py"
                if "study-" in str(copy)
                else "restore the experiment.py of that run",
            )
        return model

    return find


def _runnable(copy: Path, code: bytes, trusted: bool) -> Path | None:
    """The file to run: one in `experiments/` with the same content, or else the copy.

    None if it was not made in this project, and is not `trusted`.
    """
    for path in files():
        with contextlib.suppress(OSError):  # such as a broken link
            if path.read_bytes() == code:
                return path
    return copy if trusted or trust.made_code(_run_id(copy), code) else None


def _run_id(copy: Path) -> str:
    """The id of the run that the copy belongs to; empty if it cannot be read."""
    folder = copy.parent
    try:
        if (folder / champion.RECORD).is_file():
            return champion.run_id(folder)
        return RunFolder.open(folder).id
    except HarnessError:
        return ""
