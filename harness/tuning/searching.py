"""A whole search on this machine: checked first, then worked on, then looked at."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import torch

from harness.config.experiment import Experiment
from harness.config.experiment_file import loaded, search_space
from harness.config.fields import plain
from harness.engine.metrics import rises
from harness.errors import HarnessError, StorageError, UsageError
from harness.runs.record_parts import Status, StudyResultRecord
from harness.runs.records import Origin, StudyRecord
from harness.runs.run_folder import COMPLETE
from harness.runs.study_folder import StudyFolder
from harness.trackers.follower import Follower
from harness.trackers.mlflow.store import recorded, tracking_uri
from harness.training.plan import Plan
from harness.tuning.best_file import CannotBeWrittenError, best_file, is_literal
from harness.tuning.job import Job
from harness.tuning.pictures import draw_study
from harness.tuning.progress import DONE
from harness.tuning.pruning import CHANCE
from harness.tuning.records import ACCURACY, LOSS, TrialRecord
from harness.tuning.result import Found, look, write_trials
from harness.tuning.space import Space, default_space, described, quiet
from harness.tuning.study import Study
from harness.tuning.workers import fair_threads
from harness.util.addresses import short_address, without_secrets
from harness.util.checked import form, parsed
from harness.util.console import say
from harness.util.packages import installed
from harness.workflows.crossval import record_of
from harness.workflows.make_plan import make_plan

METRICS = (ACCURACY, LOSS)
NOT_SHARED = ("trackers", "workers", "cache", "test_data", "min_accuracy", "data", "weights")  # or told by content


@dataclass(frozen=True)
class Options:
    """How to search, as it is typed."""

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


def prepare(
    path: Path, experiment: Experiment, options: Options, begin: Literal["now", "elsewhere", "never"] = "now"
) -> tuple[Job, Study]:
    """Checks all that can be checked before the first trial, the space first. Raises HarnessError.

    `experiment` is the one that the file at `path` defines, with what was typed over it. The study begins now, or has
    begun elsewhere, or will never: then nothing is written.
    """
    if options.metric not in METRICS:
        why = f"what each trial is judged by is one of {', '.join(METRICS)}"
        raise UsageError(f"there is no metric {options.metric!r} to search by", why, f"--metric {ACCURACY}")
    space = Space(experiment, search_space(path) or default_space(experiment))
    distributions, examples = space.draw()
    plan = make_plan(experiment, device=options.device, skip_corrupt=options.skip_corrupt)
    plan = dataclasses.replace(plan, lean=True)
    record = _study_record(plan, options, distributions)
    job = Job(
        plan=plan,
        space=space,
        distributions=distributions,
        folder=StudyFolder(options.runs, record),
        source=path,
        metric=options.metric,
        total=options.trials,
        pruner=options.pruner,
        pareto=options.pareto,
        keep=options.keep,
        trackers=tuple(name for name in experiment.trackers if installed(name)),
    )
    for example in examples:
        try:
            job.plan_of(example)
        except HarnessError as error:
            error.what = f"{space.title}: {error.what}"
            raise
    directions = ["maximize" if rises(options.metric) else "minimize", *(["minimize"] if options.pareto else [])]
    study = Study(options.storage, options.study or experiment.name, directions, experiment.seed, begin != "never")
    shared = {name: value for name, value in experiment.to_dict().items() if name not in NOT_SHARED}
    shared |= {"weights": Path(experiment.weights).name if experiment.weights else None}
    facts = {"experiment": shared, "data": plan.digest, "metric": options.metric}
    record = dataclasses.replace(record, name=study.name, id=study.agree(facts, distributions))
    folder = StudyFolder.at(options.runs, record)
    if begin == "now":
        folder.begin()
    return job.placed(folder), study


def _study_record(plan: Plan, options: Options, distributions: Mapping[str, Any]) -> StudyRecord:
    """What `study.json` says of a study of that plan before it begins; it has no id yet."""
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


def plan_lines(job: Job, study: Study, workers: int = 1) -> list[str]:
    """What will happen: the lines of the experiment as written, and those of the study."""
    trials = [trial for trial in study.trials() if trial.place < job.total]
    done = sum(trial.state in DONE for trial in trials)
    held = job.space.held
    goes_on = f", of which {done} are done" if done else ""
    if job.prunes:
        pruning = f"a trial ends as soon as its chance to become the best is below {100 * CHANCE:.0f} %"
    elif job.pruner == "none":
        pruning = "none"
    elif job.pareto:
        pruning = "none: of two objectives, no trial can be seen to have lost"
    else:
        pruning = f"none: {job.metric} is not known image by image"
    names, threads = list(described(job.distributions)), fair_threads(workers)
    return [
        f"search {job.experiment.name}: study {study.name} of {job.total} trials{goes_on}, "
        f"the best by {job.metric.replace('_', ' ')}{' and by seconds' if job.pareto else ''}; "
        "first the experiment as written:",
        *(f"  {line}" for line in job.plan.lines()),
        *(f"  {'space' if i == 0 else '':<9}  {text}" for i, text in enumerate(names)),
        *([f"  held       {', '.join(f'{name} {value}' for name, value in held.items())}"] if held else []),
        f"  pruning    {pruning}",
        *([f"  workers    {workers}, each on {threads} thread{'s' * (threads > 1)}"] if workers > 1 else []),
        f"  storage    {short_address(study.address)}",
        f"  folder     {job.folder.path}",
        "  time       is told by the first trial of each kind; what is frozen runs once, for all trials",
    ]


@contextlib.contextmanager
def shown_to_mlflow(job: Job, follower: Follower | None) -> Iterator[None]:
    """Within, a process sends the study to MLflow, if the experiment names it; at the end, the rest."""
    if "mlflow" not in job.trackers:
        yield
        return
    job.folder.update(**recorded(tracking_uri()), mlflow=None)
    try:
        follower = follower or Follower()
        follower.begin(job.folder)
    except OSError as error:
        say(f"warning: mlflow has failed ({error}); the study goes on, and its folder has all")
        follower = None
    try:
        yield
    finally:
        problem = follower.finish() if follower is not None else "its process could not be started"
        job.folder.update(mlflow=problem or COMPLETE)


def conclude(job: Job, study: Study, status: Status, error: BaseException | None = None) -> Found:
    """Looks at the study as it is now, and writes what it found: the table, the pictures, the best as a file."""
    found = look(job, study)
    why = None if error is None else f"{type(error).__name__}: {getattr(error, 'what', error)}".rstrip(": ")
    why = None if why is None else without_secrets(why, study.address)
    with contextlib.suppress(StorageError):  # what the study found is in its storage, whatever the disk does
        job.folder.update(status=status, error=why, found=parsed(form(StudyResultRecord), found.to_dict()))
        write_trials(job.folder.path / "trials.csv", found)
        job.folder.write("experiment.py", job.source.read_bytes())
        if found.best is not None:
            _write_best(job, study, found.best)
        draw_study(job.folder.plots, job, study, found)
    return found


def _write_best(job: Job, study: Study, best: TrialRecord) -> None:
    """`best.py`; none where its functions cannot be named, rather than one of another experiment."""
    try:
        job.folder.write("best.py", _best_text(job, study, best).encode())
    except (CannotBeWrittenError, HarnessError) as error:
        (job.folder.path / "best.py").unlink(missing_ok=True)
        say(f"warning: there is no best.py: {getattr(error, 'what', error)}")


def _best_text(job: Job, study: Study, best: TrialRecord) -> str:
    text = f"the best of study {study.name}, trial {best.place} of {job.total}: {best.accuracy}"
    used = best.attributes.get("threads")
    threads = used if best.attributes.get("device") == "cpu" and used != torch.get_num_threads() else None
    return best_file(job.source, loaded(job.source), experiment_of(job, best), text, best.frozen.params, threads)


def experiment_of(job: Job, trial: TrialRecord) -> Experiment:
    """The experiment of a trial as it was trained, by what it says that it changed.

    Of a function only the name is kept; the function itself is the one that the space has for those parameters.
    """
    fresh: dict[str, Any] = {}
    if any(
        not is_literal(getattr(job.experiment, name, None)) or _is_name(value) for name, value in trial.changes.items()
    ):
        with contextlib.suppress(Exception), quiet():  # the space may be another one by now
            fresh = job.space.changes(optuna.trial.FixedTrial(trial.frozen.params))
    same = {name: value for name, value in fresh.items() if plain(value) == trial.changes.get(name)}
    return job.experiment.replace(**{**trial.changes, **same})


def _is_name(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and ":" in value)
