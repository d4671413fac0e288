"""`harness.search`: searches for good settings in Python."""

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
from harness.util.console_log import copied_output, keep_output_in
from harness.util.files import require_writable
from harness.util.text import short_repr

if TYPE_CHECKING:
    import pandas


class StudyRun:
    """The results of a search, read from the study's folder. Returned by `harness.search`.

    Attributes:
        path: The study's folder.
        result: All results, as a typed record.

    Example:
        >>> import harness
        >>> study = harness.search("quickstart", trials=1)
        >>> study.best.accuracy == study.result.best.value
        True
        >>> len(study.trials)
        1
    """

    def __init__(self, folder: StudyFolder, result: StudyResult) -> None:
        self._folder, self.result = folder, result
        self.path = folder.path

    @property
    def best_params(self) -> dict[str, Any]:
        """The fields that the best trial has changed, with its values. Raises UsageError if no trial is complete."""
        return dict(self._best().changes)

    @property
    def best(self) -> Run:
        """The best trial, as a run.

        Its accuracy is too high, because the best of many trials is partly luck. `result.expected` estimates the
        accuracy that its settings reach on new images.
        """
        return open_run(self._folder.trial(self._best().index))

    @property
    def trials(self) -> pandas.DataFrame:
        """The table `trials.csv`, with one row per trial."""
        import pandas

        return pandas.read_csv(self.path / "trials.csv")

    @property
    def plots(self) -> Plots:
        """The plots, by name."""
        return Plots(sorted(self._folder.pictures()))

    def _best(self) -> Any:
        if self.result.best is None:
            raise UsageError(
                f"{self.path} has no best trial", "no trial is complete", "harness.search with more trials"
            )
        return self.result.best

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.result.count(state)} {state}" for state in ("complete", "pruned", "failed"))
        return short_repr(self, f"{str(self.path)!r}: {counts}")

    def _repr_html_(self) -> str:
        rows = [
            {"trial": row.trial.index, "accuracy": f"{100 * row.trial.accuracy.value:.1f} %"}
            | {name: str(value) for name, value in row.trial.changes.items()}
            for row in self.result.top
        ]
        return table(rows, repr(self))


@copied_output("harness.search")
@torch.random.fork_rng(devices=())  # the caller's random numbers stay the same
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
    """Searches for good settings of an experiment in this process, as `harness search` does.

    Args:
        experiment: A file, or the name of a file in `experiments/`. An `Experiment` without a file cannot be searched,
            because other processes must be able to continue the study.
        trials: Total number of trials. An interrupted study continues up to this number.
        seconds: Time limit. No trial starts that would end after it. None: no limit.
        study: The name of the study. Default: the name of the experiment.
        storage: Where Optuna stores the trials: a file, the URL of a database, or `grpc://HOST:PORT`.
        metric: The metric that decides which trial is best.
        pareto: Optimise two objectives: the metric, and the training time in seconds.
        pruner: "paired" ends trials early that are unlikely to become the best; "none" completes all trials.
        keep: Number of best trials whose weights are saved.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Train even if images of the validation set are also in the training set.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest device available.
        runs: The folder that contains the run folders.
        **settings: Fields of the experiment with a fixed value, such as `epochs=5`.

    Returns:
        The study, with `study.best`, `study.best_params`, `study.trials` and `study.plots`.

    Raises:
        ExperimentError: The file, a field or a value is wrong, or the experiment has no file.
        UsageError: An option is invalid, or the study exists with other settings.
        DataError: The images cannot be used.

    Example:
        >>> import harness
        >>> harness.search("quickstart", trials=1)  # doctest: +ELLIPSIS
        StudyRun('...quickstart': 1 complete, 0 pruned, 0 failed)
    """
    chosen, file = read_experiment(experiment, settings)
    if file is None:
        raise ExperimentError(
            "an Experiment without a file cannot be searched",
            "other processes that continue the study read its search space from the file",
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
    plan, study_state = prepare_search(file, chosen, options, begin="now")
    keep_output_in(plan.folder.path)
    for line in plan_lines(plan, study_state, 1):
        print_line(line)
    progress = Progress(plan.total, len(plan.plan.splits), 1, quiet=False)

    def all_trials() -> None:
        with contextlib.closing(progress):
            run_trials(plan, study_state, Deadline(seconds), progress)

    with mirrored_to_mlflow(plan, follower):
        result = run_search(plan, study_state, all_trials)
    wait_for_rest()
    return StudyRun(StudyFolder.open(plan.folder.path), result)
