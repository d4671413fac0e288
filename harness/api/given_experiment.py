"""Reads the experiment that a public function receives: the name of a file, or an `Experiment` from a notebook."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile, find, folder_name, is_function
from harness.errors import ExperimentError
from harness.util.console import print_line

NAME = "notebook"  # the name of an experiment without a name


def read_experiment(
    given: str | Path | Experiment, settings: Mapping[str, Any]
) -> tuple[Experiment, ExperimentFile | None]:
    """Returns the experiment, changed by `settings`, and its file (None if it was made in Python).

    The file is read again in each call, and so are the modules that it imports from its folder.

    Raises ExperimentError if the file does not exist, a field is unknown or a value is invalid.
    """
    if isinstance(given, Experiment):
        chosen = given.found(settings, "command line").named(NAME)
        _warn_of_functions(chosen)
        return chosen, None
    if not isinstance(given, (str, os.PathLike)):
        raise ExperimentError(
            f"an object of type {type(given).__name__} is not an experiment",
            "an experiment is a file, the name of a file in experiments/, or an Experiment",
            'harness.run("experiments/quickstart.py")',
        )
    path = find(str(given))
    _forget_imports(path.parent)
    file = ExperimentFile.run(path)
    return file.experiment.found(settings, "command line").named(folder_name(path.stem)), file


def own_functions(experiment: Experiment) -> list[str]:
    """Names of the fields that hold a function."""
    return [name for name, value in experiment.to_dict().items() if is_function(value)]


def _warn_of_functions(experiment: Experiment) -> None:
    """Prints a note if the experiment has functions of a notebook, which no later command can find."""
    own = own_functions(experiment)
    if own:
        model = "predict, test, export, " if "model" in own else ""
        print_line(
            f"note: the function for {', '.join(own)} exists only in this notebook. In another process, and after a "
            f"restart of the kernel, {model}refit, resume and reproduce cannot find it. To keep it, save the cell as "
            "experiments/NAME.py and run that file"
        )


def _forget_imports(folder: Path) -> None:
    """Removes the modules of a folder from `sys.modules`, so that the next import reads their files again."""
    home = folder.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and Path(file).parent == home:
            sys.modules.pop(name, None)  # another thread may do the same
