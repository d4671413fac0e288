"""Prepares a search: checks all that can be checked before the first trial, and starts or joins its study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile
from harness.engine.metrics import rises
from harness.errors import HarnessError, UsageError, nearest
from harness.runs.records import Origin, StudyRecord
from harness.runs.study_folder import StudyFolder
from harness.training.epoch_metrics import monitors
from harness.training.plan import Plan
from harness.tuning.code_facts import code_facts
from harness.tuning.progress import DONE
from harness.tuning.pruning_formula import CHANCE, FEWEST_COMPLETE
from harness.tuning.search_plan import SearchPlan
from harness.tuning.space import Space, default_space, described
from harness.tuning.study import Study
from harness.tuning.trial_record import ACCURACY, LOG_LOSS, LOSS
from harness.tuning.worker_processes import threads_per_worker
from harness.util.addresses import short_address
from harness.util.packages import installed
from harness.workflows.make_plan import make_plan
from harness.workflows.new_record import record_of
from harness.workflows.plan_data import with_sides

Begin = Literal["now", "elsewhere", "never"]
MAY_DIFFER = (
    "trackers",
    "workers",
    "cache",
    "test_data",
    "min_accuracy",
    "data",
    "valid_data",
    "weights",
)  # from process to process


@dataclass(frozen=True)
class SearchOptions:
    """The options of `harness search`."""

    study: str = ""  # by default the experiment's name
    storage: str = "optuna.journal"
    trials: int = 20
    metric: str = ACCURACY
    pruner: str = "paired"
    pareto: bool = False
    keep: int = 3
    device: str = "auto"
    runs: Path = Path("runs")
    skip_corrupt: bool = False
    allow_leak: bool = False


def prepare_search(
    file: ExperimentFile,
    experiment: Experiment,
    options: SearchOptions,
    begin: Begin = "now",
) -> tuple[SearchPlan, Study]:
    """Checks all that can be checked before the first trial, the search space first. Raises HarnessError.

    Args:
        file: The experiment file.
        experiment: Its experiment, with the values from the command line.
        options: The options of `harness search`.
        begin: "now" starts the study; "elsewhere" means that another process has started it; "never" is a dry run,
            which writes nothing.
    """
    experiment = with_metric(experiment, options.metric)
    if experiment.repeats > 1:
        why = f"repeats={experiment.repeats} measures, for one experiment, how much the accuracy varies with the seed"
        raise UsageError("a search trains each fold of a trial once", why, "-s repeats=1")
    experiment = with_sides(experiment)
    code = code_facts(file)  # first, because calling the search space may change what its functions read
    space = Space(experiment, file.search_space or default_space(experiment), options.metric)
    distributions, examples = space.draw()
    plan = make_plan(
        experiment, device=options.device, skip_corrupt=options.skip_corrupt, allow_leak=options.allow_leak
    )
    plan = dataclasses.replace(plan, lean=True)
    record = _study_record(plan, options, distributions)
    search = SearchPlan(
        plan=plan,
        space=space,
        distributions=distributions,
        folder=StudyFolder(options.runs, record),
        file=file,
        metric=options.metric,
        total=options.trials,
        pruner=options.pruner,
        pareto=options.pareto,
        keep=options.keep,
        trackers=tuple(name for name in experiment.trackers if installed(name)),
    )
    for example in examples:
        try:
            search.plan_of(example)
        except HarnessError as error:
            error.what = f"{space.title}: {error.what}"
            raise
    best = "maximize" if rises(options.metric, _mode(experiment, options.metric)) else "minimize"
    directions = [best, *(["minimize"] if options.pareto else [])]
    study = Study(options.storage, options.study or experiment.name, directions, experiment.seed, begin != "never")
    if plan.groups is not None:
        study.groups = plan.groups[[i for split in plan.splits.values() for i in split.valid]]
    shared = {name: value for name, value in experiment.to_dict().items() if name not in MAY_DIFFER}
    shared |= {"weights": Path(experiment.weights).name if experiment.weights else None}
    facts = {"experiment": shared, "data": plan.digest, "metric": options.metric, "code": code}
    if plan.groups is not None:
        facts["groups"] = sha256(plan.groups.tobytes()).hexdigest()
    record = dataclasses.replace(record, name=study.name, id=study.agree(facts, distributions))
    folder = StudyFolder.at(options.runs, record)
    if begin == "now":
        folder.begin()
    return search.in_folder(folder), study


def with_metric(experiment: Experiment, metric: str) -> Experiment:
    """Adds the metric that ranks trials to the experiment. Raises UsageError for an unknown metric."""
    known = monitors(experiment)
    if not metric.startswith("valid_"):
        raise UsageError(
            f"there is no metric {metric!r} to search by{nearest(metric, known)}",
            "a trial is evaluated on its validation sets, so the name must begin with valid_",
            f"--metric {ACCURACY}, or --metric valid_macro_f1",
        )
    rises(metric, _mode(experiment, metric))  # raises if the direction is not known
    if metric in known:
        return experiment
    return experiment.replace(metrics=(*experiment.metrics, metric.removeprefix("valid_")))


def _mode(experiment: Experiment, metric: str) -> str:
    return experiment.monitor_mode if metric == experiment.monitor else "auto"


def _study_record(plan: Plan, options: SearchOptions, distributions: Mapping[str, Any]) -> StudyRecord:
    """The content of `study.json` before the study starts; it has no id yet."""
    of_run, experiment = record_of(plan), plan.experiment
    return StudyRecord(
        **{item.name: getattr(of_run, item.name) for item in dataclasses.fields(Origin) if item.name != "asked"},
        asked={"metric": options.metric},
        experiment_name=experiment.name,
        experiment=of_run.experiment,
        data=of_run.data,
        storage=short_address(options.storage),
        space=list(described(distributions)),
        trials=options.trials,
    )


def plan_lines(search: SearchPlan, study: Study, workers: int = 1) -> list[str]:
    """The lines printed before a search: the plan of the experiment as written, and that of the study."""
    trials = [trial for trial in study.trials() if trial.index < search.total]
    done = sum(trial.state in DONE for trial in trials)
    held = search.space.held
    already = f" ({done} done)" if done else ""
    if search.prunes:
        pruning = (
            f"after {FEWEST_COMPLETE} complete trials, a trial ends if its chance to become the best is below "
            f"{100 * CHANCE:.0f} %"
        )
    elif search.pruner == "none":
        pruning = "none"
    elif search.pareto:
        pruning = "none: with two objectives, no trial can be ruled out early"
    else:
        pruning = f"none: {search.metric} is not known for each image"
        pruning += f"; {LOG_LOSS} is" if search.metric == LOSS else ""
    names, threads = list(described(search.distributions)), threads_per_worker(workers)
    return [
        f"search {search.experiment.name}: study {study.name}, {search.total} trials{already}, "
        f"ranked by {search.metric.replace('_', ' ')}{' and by seconds' if search.pareto else ''}; "
        "trial 0 is the experiment as written:",
        *(f"  {line}" for line in search.plan.lines()),
        *(f"  {'space' if i == 0 else '':<9}  {text}" for i, text in enumerate(names)),
        *([f"  fixed      {', '.join(f'{name} {value}' for name, value in held.items())}"] if held else []),
        f"  pruning    {pruning}",
        *([f"  workers    {workers}, each on {threads} thread{'s' * (threads > 1)}"] if workers > 1 else []),
        f"  storage    {short_address(study.address)}",
        f"  folder     {search.folder.path}",
        "  time       known after the first trial of each kind; frozen layers run once for all trials",
    ]
