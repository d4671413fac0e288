"""`harness.search`: a search in Python, the same as the command."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.api.given_experiment import read_experiment
from harness.api.result import Plots, Run, open_run
from harness.config.experiment import Experiment
from harness.errors import ExperimentError, UsageError
from harness.report.cards import table
from harness.runs.study_folder import StudyFolder
from harness.trackers.follower import start_early, wait_for_rest
from harness.tuning.conclude import mirrored_to_mlflow
from harness.tuning.prepare import SearchOptions, plan_lines, prepare_search
from harness.tuning.progress import Deadline, Progress
from harness.tuning.result import StudyResult
from harness.tuning.run_search import run_search
from harness.tuning.trial_loop import run_trials
from harness.util.console import print_line
from harness.util.files import require_writable

if TYPE_CHECKING:
    import pandas


class StudyRun:
    """What a search found: the result of `harness.search`.

    Attributes:
        path: The study's folder.
        result: All that was found, typed.
    """

    def __init__(self, folder: StudyFolder, result: StudyResult) -> None:
        self._folder, self.result = folder, result
        self.path = folder.path

    @property
    def best_params(self) -> dict[str, Any]:
        """The fields that the best trial has changed. Raises UsageError if no trial is complete."""
        return dict(self._best().changes)

    @property
    def best(self) -> Run:
        """The best trial as a run.

        The best of many is lucky, so its accuracy is too good; `result.expected` is what its settings will reach.
        """
        return open_run(self._folder.trial(self._best().index))

    @property
    def trials(self) -> pandas.DataFrame:
        """The table `trials.csv`, a row for each trial."""
        import pandas

        return pandas.read_csv(self.path / "trials.csv")

    @property
    def plots(self) -> Plots:
        """Its pictures, by name."""
        return Plots(sorted(self._folder.pictures()))

    def _best(self) -> Any:
        if self.result.best is None:
            raise UsageError(f"{self.path} has no best trial", "no trial is complete", "harness.search, with more")
        return self.result.best

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.result.count(state)} {state}" for state in ("complete", "pruned", "failed"))
        return f"StudyRun({str(self.path)!r}: {counts})"

    def _repr_html_(self) -> str:
        rows = [
            {"trial": row.trial.index, "accuracy": f"{100 * row.trial.accuracy.value:.1f} %"}
            | {name: str(value) for name, value in row.trial.changes.items()}
            for row in self.result.top
        ]
        return table(rows, repr(self))


@torch.random.fork_rng(devices=())  # the numbers that a notebook draws are the same before and after
def search(
    experiment: str | Path | Experiment,
    *,
    trials: int = 20,
    seconds: float | None = None,
    study: str = "",
    storage: str = "optuna.journal",
    metric: str = "valid_accuracy",
    pareto: bool = False,
    pruner: str = "paired",
    keep: int = 3,
    skip_corrupt: bool = False,
    allow_leak: bool = False,
    device: str = "auto",
    runs: str | Path = "runs",
    **settings: Any,
) -> StudyRun:
    """Searches the settings of an experiment in this process, as `harness search` does.

    Args:
        experiment: A file, or the name of one in `experiments/`. An `Experiment` without a file cannot be searched,
            since a study goes on in other processes.
        trials: Number of trials in all; a study that was cut off goes on.
        seconds: Begin no trial that would not end by then.
        study: Its name; by default the experiment's.
        storage: A file, a database's URL, or `grpc://HOST:PORT`.
        metric: What the best is best by.
        pareto: Two objectives: the metric, and the seconds of training.
        pruner: "paired" or "none".
        keep: Number of best trials whose weights are kept.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Go on if images that are judged are also trained on.
        device: As for `harness.run`.
        runs: The folder that run folders go to.
        settings: Fields that are held at a value, as `epochs=5`.

    Raises:
        HarnessError: The errors of the command.
    """
    chosen, file = read_experiment(experiment, settings)
    if file is None:
        raise ExperimentError(
            "an Experiment without a file cannot be searched",
            "a study goes on in other processes, which read its search space from the file",
            'save the cell as experiments/NAME.py, then harness.search("NAME")',
        )
    require_writable(Path(runs, chosen.name or "experiment"))
    follower = start_early(chosen.trackers)
    options = SearchOptions(
        study=study,
        storage=storage,
        trials=trials,
        metric=metric,
        pruner=pruner,
        pareto=pareto,
        keep=keep,
        device=device,
        runs=Path(runs),
        skip_corrupt=skip_corrupt,
        allow_leak=allow_leak,
    )
    plan, found = prepare_search(file, chosen, options, begin="now")
    for line in plan_lines(plan, found, 1):
        print_line(line)
    progress = Progress(plan.total, len(plan.plan.splits), 1, quiet=False)

    def all_trials() -> None:
        with contextlib.closing(progress):
            run_trials(plan, found, Deadline(seconds), progress)

    with mirrored_to_mlflow(plan, follower):
        result = run_search(plan, found, all_trials)
    wait_for_rest()
    return StudyRun(StudyFolder.open(plan.folder.path), result)
