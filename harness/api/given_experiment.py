"""An experiment as Python code gives it: a file's name, or an `Experiment` that was made in a notebook."""

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

NAME = "notebook"  # of an experiment that has none


def read_experiment(
    given: str | Path | Experiment, settings: Mapping[str, Any]
) -> tuple[Experiment, ExperimentFile | None]:
    """(the experiment with `settings` in place of its fields, its file, or None if it was made in Python).

    A file is run as it is now, and so is what it imports from its folder: an edit since the last call counts.

    Raises ExperimentError if there is no such file, or if a field or its value is not possible.
    """
    if isinstance(given, Experiment):
        chosen = given.found(settings, "command line").named(NAME)
        _say_what_is_missing(chosen)
        return chosen, None
    if not isinstance(given, (str, os.PathLike)):
        raise ExperimentError(
            f"a {type(given).__name__} is no experiment",
            "it is a file, the name of one in experiments/, or an Experiment",
            'harness.run("experiments/quickstart.py")',
        )
    path = find(str(given))
    _forget_imports(path.parent)
    file = ExperimentFile.run(path)
    return file.experiment.found(settings, "command line").named(folder_name(path.stem)), file


def own_functions(experiment: Experiment) -> list[str]:
    """Names of the fields that hold a function."""
    return [name for name, value in experiment.to_dict().items() if is_function(value)]


def _say_what_is_missing(experiment: Experiment) -> None:
    """A notebook's functions are in no file, so no later command can find them."""
    own = own_functions(experiment)
    if own:
        model = "predict, test, export, " if "model" in own else ""
        print_line(
            f"note: only this notebook has the function for {', '.join(own)}: in another process, and after a restart "
            f"of the kernel, {model}refit, resume and reproduce cannot find it. To keep it, save the cell as "
            "experiments/NAME.py and run that"
        )


def _forget_imports(folder: Path) -> None:
    """Makes the next import read the modules in a folder again: one kernel may run a file many times."""
    home = folder.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and Path(file).parent == home:
            sys.modules.pop(name, None)  # another thread may do the same
