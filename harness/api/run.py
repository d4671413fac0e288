"""`harness.run`: trains an experiment in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.api.given_experiment import own_functions, read_experiment
from harness.api.result import Run
from harness.config.experiment import Experiment
from harness.runs.run_folder import RunFolder
from harness.trackers.follower import start_early, wait_for_rest
from harness.util.console import print_line
from harness.util.console_log import copied_output
from harness.util.files import require_writable
from harness.util.signals import advice, begin
from harness.workflows.crossval import cross_validate
from harness.workflows.experiment_copy import keep_of_notebook
from harness.workflows.make_plan import make_plan


@copied_output("harness.run")
@torch.random.fork_rng(devices=())  # the caller's random numbers stay the same
def run(
    experiment: str | Path | Experiment,
    *,
    fold: int | None = None,
    fast_dev_run: bool = False,
    refit: bool = False,
    skip_corrupt: bool = False,
    allow_leak: bool = False,
    device: str = "auto",
    runs: str | Path = "runs",
    out: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Trains and evaluates an experiment by cross-validation, as `harness run` does.

    Args:
        experiment: A file, the name of a file in `experiments/`, or an `Experiment`. A file is read again in each call.
        fold: Train only this fold; 1 is the first.
        fast_dev_run: Train two batches of one epoch in each fold, to check quickly that everything works.
        refit: After the cross-validation, train one model on all images, for prediction.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Train even if images of the validation set are also in the training set.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest device available.
        runs: The folder that contains the run folders.
        out: Write the run to this folder. None: a new folder in `runs`.
        **settings: Fields of the experiment to change, such as `lr=3e-4`.

    Returns:
        The finished run, with `run.accuracy`, `run.predictions`, `run.plots`, `run.model()` and `run.report()`.

    Raises:
        ExperimentError: The file, a field or a value is wrong.
        DataError: The images cannot be used.
        TrainingError: The training failed: the loss is not a number, or there is not enough memory.
        KeyboardInterrupt: The run was interrupted. Complete folds and epochs are saved; `harness resume` continues it.

    Example:
        >>> import harness
        >>> run = harness.run("experiments/quickstart.py", lr=3e-4)
        >>> run.accuracy  # doctest: +ELLIPSIS
        0...
        >>> len(run.history)
        2
    """
    chosen, file = read_experiment(experiment, settings)
    require_writable(Path(out or Path(runs, chosen.name or "experiment")))
    follower = start_early(chosen.trackers)
    plan = make_plan(chosen, fold=fold, skip_corrupt=skip_corrupt, allow_leak=allow_leak, device=device)
    plan = plan.shortened() if fast_dev_run else plan
    for line in plan.lines():
        print_line(line)
    begin()
    try:
        result = cross_validate(
            plan, runs=runs, source=file, follower=follower, out=None if out is None else Path(out), refit=refit
        )
    except KeyboardInterrupt:  # a notebook shows only a long traceback, without the name of the run
        why, fix = advice() or ("nothing was trained yet", "harness.run again")
        again = file is None and own_functions(chosen)  # no other process has these functions
        print_line(f"interrupted: {why}; to continue: {'harness.run again' if again else fix}")
        raise
    if file is None:
        keep_of_notebook(result.run_dir, chosen)
    wait_for_rest()
    return Run(RunFolder.open(result.run_dir))
