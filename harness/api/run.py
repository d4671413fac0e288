"""`harness.run`: a run in Python, the same as the command."""

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
from harness.util.files import require_writable
from harness.util.signals import advice, begin
from harness.workflows.crossval import cross_validate
from harness.workflows.experiment_copy import keep_of_notebook
from harness.workflows.make_plan import make_plan


@torch.random.fork_rng(devices=())  # the numbers that a notebook draws are the same before and after
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
    """Trains an experiment by cross-validation, as `harness run` does.

    Args:
        experiment: A file, the name of one in `experiments/`, or an `Experiment`. A file is read again each time.
        fold: Train this fold only; 1 is the first.
        fast_dev_run: Go through everything with two batches and one epoch.
        refit: Then train one model on all images: the model to use.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Go on if images that are judged are also trained on.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best that there is.
        runs: The folder that run folders go to.
        out: Write to this folder, the same each time.
        settings: Fields of the experiment, as `lr=3e-4`.

    Returns:
        The finished run, with `run.accuracy`, `run.predictions`, `run.plots`, `run.model()` and `run.report()`.

    Raises:
        HarnessError: The errors of the command: `UsageError`, `DataError`, `TrainingError` and so on.
        KeyboardInterrupt: Interrupted. What was trained is kept, and `harness resume` goes on with it.

    Example:
        >>> run = harness.run("experiments/sea_forest.py", lr=3e-4)
        >>> run.accuracy
        0.978
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
    except KeyboardInterrupt:  # a notebook shows it with a long traceback, and with no run's name
        why, fix = advice() or ("nothing was trained yet", "harness.run again")
        again = file is None and own_functions(chosen)  # no other process has them
        print_line(f"interrupted: {why}; to go on: {'harness.run again' if again else fix}")
        raise
    if file is None:
        keep_of_notebook(result.run_dir, chosen)
    wait_for_rest()
    return Run(RunFolder.open(result.run_dir))
