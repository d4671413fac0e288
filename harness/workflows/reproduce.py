"""Repeats a run: lists what differs from the first time, and compares the results. Never checks out files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import is_function, is_same_function
from harness.config.object_text import is_same_name, is_same_record
from harness.engine.rates import is_rate
from harness.errors import DataError, GateError, UsageError
from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import compare as compared
from harness.runs import provenance
from harness.runs.record_parts import GitRecord
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder
from harness.training.plan import Plan
from harness.training.repeats import fold_and_repeat
from harness.util.text import few
from harness.workflows.crossval import CrossValidation, cross_validate
from harness.workflows.experiment_copy import COPY, load_copy, may_run, of_notebook
from harness.workflows.make_plan import make_plan

IDENTICAL, SIMILAR, DIFFERENT = "bit-identical", "no significant difference", "different"
MAY_BE_FUNCTIONS = ("groups", "model", "augment", "optimizer", "scheduler", "loss", "callbacks", "metrics")
TIMES = {
    "time",
    "seconds",
    "train_seconds",
    "inner_seconds",
    "valid_seconds",
}  # columns of `metrics.jsonl` that are not results


@dataclass(frozen=True)
class Difference:
    """A condition that differs from the first run."""

    what: str
    then: str
    now: str
    fix: str = ""  # the command that restores it

    def __str__(self) -> str:
        return f"{self.what}: {self.then} then, {self.now} now" + (f" ({self.fix})" if self.fix else "")


@dataclass(frozen=True)
class Outcome:
    """The result of the second run, compared with the first."""

    word: str  # IDENTICAL, SIMILAR or DIFFERENT
    then: str
    now: str
    changed: int  # number of images with a different predicted class
    difference: float  # in accuracy, now minus then
    interval: tuple[float, float]  # of the difference, 95 %
    p: float  # of the paired test on which images were right

    @property
    def evidence(self) -> str:
        """The difference with its interval and p-value, as a line to print."""
        low, high = (100 * bound for bound in self.interval)
        return (
            f"{100 * self.difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}; paired test p {self.p:.2g})"
        )

    def require_same(self) -> None:
        """Raises GateError if the results differ significantly."""
        if self.word == DIFFERENT:
            raise GateError(
                "the two results differ significantly",
                f"{self.then} then, {self.now} now: {self.evidence}",
                "restore what is listed above as different: the code, the versions or the device",
            )


def planned(folder: RunFolder, device: str = "auto", trusted: bool = False) -> Plan:
    """Makes the plan of a run again, on this machine. Raises HarnessError if something that it needs is missing.

    The experiment file of a run from another project is run only if it is `trusted`. It is needed only if a field is
    a function.
    """
    if not folder.is_test and not len(folder.predictions()):
        raise UsageError(f"{folder.path} has no result to compare with", "none of its folds has ended", "harness list")
    return plan_again(folder, device, trusted)


def plan_again(folder: RunFolder, device: str = "auto", trusted: bool = False, other_images: bool = False) -> Plan:
    """Makes the plan of a run again, even if it has no result. Arguments and errors are those of `planned`.

    With `other_images`, the images may differ from those of the run.
    """
    record = folder.record
    if folder.is_test:
        raise UsageError(f"{folder.path} is a test, not a training run", "it has no folds", "harness test MODEL")
    if not record.splits:
        raise UsageError(f"{folder.path} cannot be repeated", "its record lists no folds", "harness list")
    experiment = _experiment(folder, trusted)
    folds = [int(fold) for fold in record.splits]
    whole = max(1, experiment.folds) * experiment.repeats
    only = fold_and_repeat(folds[0], experiment.folds)[0] if len(folds) < whole else None
    plan = make_plan(experiment, fold=only, skip_corrupt=bool(record.data.skipped), allow_leak=True, device=device)
    if plan.digest != record.data.digest and not other_images:
        raise DataError(
            f"the images in {experiment.data} differ from those of the run",
            f"their digest is {plan.digest}, but that of the run is {record.data.digest}",
            _way_back(record, plan),
        )
    return plan.shortened() if record.fast_dev_run else plan


def differences(folder: RunFolder, plan: Plan) -> list[Difference]:
    """What differs from the first run: code, versions, weights, device, precision, machine."""
    then, now = folder.record, provenance.git_state()
    changes = []
    before = then.git or GitRecord()
    commit = now.commit if now else None
    if before.commit is None and commit is None:
        changes.append(Difference("code", _short(before.commit), _short(commit), "cannot be compared"))
    elif before.commit != commit:
        checkout = f"git checkout {before.commit[:10]}" if before.commit else ""
        changes.append(Difference("code", _short(before.commit), _short(commit) + _files_since(before), checkout))
    if before.dirty:
        changes.append(Difference("code", "uncommitted changes", "the present files", "they cannot be restored"))
    elif now and now.dirty:
        changes.append(Difference("code", "all committed", "uncommitted changes", "git stash -u"))
    versions = provenance.versions()
    for name, version in then.versions.items():
        if versions.get(name) != version:
            changes.append(
                Difference(name, version, versions.get(name, "not installed"), f"pip install {name}=={version}")
            )
    weights = provenance.weights_md5(plan.experiment.weights)
    pairs: dict[str, tuple[Any, Any]] = {
        "weights": (then.weights_md5 or weights, weights),
        "device": (then.device, str(plan.device)),
        "dtype": (then.precision.name if then.precision else None, plan.precision.name),
        **{key: (then.machine.get(key), value) for key, value in provenance.machine().items()},
    }
    changes += [Difference(what, str(a), str(b)) for what, (a, b) in pairs.items() if a != b]
    return changes


def compare(old: RunFolder, new: RunFolder) -> Outcome:
    """Compares the result of the second run with the first."""
    first, second = old.predictions(), new.predictions()
    then, now = first.accuracy, second.accuracy
    after = {key: second.classes[top] for key, top in zip(second.keys(True), second.predicted, strict=True)}
    before = {key: first.classes[top] for key, top in zip(first.keys(True), first.predicted, strict=True)}
    same = first == second and _numbers(old) == _numbers(new)
    comparison = compared(second, first)
    return Outcome(
        word=IDENTICAL if same else SIMILAR if comparison.p >= SIGNIFICANCE else DIFFERENT,
        then=str(then),
        now=str(now),
        changed=sum(after.get(key, name) != name for key, name in before.items()),
        difference=comparison.difference,
        interval=comparison.interval,
        p=comparison.p,
    )


def repeat(plan: Plan, old: RunFolder, runs: Path, trusted: bool = False) -> CrossValidation:
    """Trains a run again, in a new run folder.

    On a CPU it uses the same number of threads as the first run, because sums depend on it. The new folder gets a copy
    of the experiment file only if that file may be run, because the copy then counts as made in this project.
    """
    if plan.device.type == "cpu":
        set_threads(old)
    copy = old.path / COPY
    return cross_validate(plan, runs=runs, source=copy if copy.is_file() and may_run(copy, trusted) else None)


def set_threads(old: RunFolder) -> None:
    """Sets the number of threads to that of a run, up to four for each core of this machine."""
    import torch

    if old.record.threads:
        torch.set_num_threads(min(int(old.record.threads), 4 * (os.cpu_count() or 1)))


def _experiment(folder: RunFolder, trusted: bool) -> Experiment:
    """The experiment as it was run: from the copy of its file and the recorded values, or from its record alone."""
    values = {"class_folder": "outer", **folder.record.experiment}  # as in 0.1.0
    copy, functions = folder.path / COPY, [name for name in MAY_BE_FUNCTIONS if is_function(values.get(name))]
    if not copy.is_file():
        made = of_notebook(folder.path)
        if made is not None:
            return _as_recorded(folder, made).replace(name=folder.record.name)
        if functions:
            raise UsageError(
                f"{folder.path} has no {COPY}",
                f"these fields were functions of that file or of a notebook: {', '.join(functions)}",
                "save the functions in experiments/NAME.py, then harness run NAME",
            )
        return Experiment(**{**values, "name": folder.record.name})
    if not functions and not may_run(copy, trusted):
        return Experiment(**{**values, "name": folder.record.name})
    return _as_recorded(folder, load_copy(copy, trusted)).replace(name=folder.record.name)


def _as_recorded(folder: RunFolder, experiment: Experiment) -> Experiment:
    """The experiment of a run's file with the values of its record; functions come from the file.

    Raises UsageError if a function differs from the recorded one, such as one that a search chose for a trial.
    """
    now, then = experiment.to_dict(), {"class_folder": "outer", **folder.record.experiment}
    same = is_same_record if folder.record.study else is_same_name
    functions = {name: value for name, value in then.items() if name in now and is_function(value)}
    if not is_function(now["groups"]):  # a pattern may look like a function's name
        functions.pop("groups", None)
    other = [name for name, value in functions.items() if not is_same_function(value, now[name], same)]
    if other:
        name = other[0]
        raise UsageError(
            f"{folder.path} cannot be repeated",
            f"its {name} was {then[name]}, but {folder.path / COPY} sets {now[name]}",
            "harness run STUDY_FOLDER/best.py, or search again" if folder.record.study else "harness run EXPERIMENT",
        )
    return experiment.replace(
        **{name: value for name, value in then.items() if name in now and name not in functions and value != now[name]}
    )


def _numbers(folder: RunFolder) -> list[dict[str, Any]]:
    """The results of each epoch. Excludes learning rates: version 0.1.0 recorded the first one of an epoch."""
    return [{name: v for name, v in row.items() if name not in TIMES and not is_rate(name)} for row in folder.epochs()]


def _way_back(record: RunRecord, plan: Plan) -> str:
    """The command that restores the images of the run."""
    commit, dvc = record.git.commit if record.git else None, record.data.dvc
    if not dvc:
        return "restore the images of the run by hand: they were not tracked by DVC"
    file = quote(dvc.file)
    if plan.dvc and plan.dvc.md5 == dvc.md5:
        return f"harness data status {file}, then harness data pull {file}"
    return f"git checkout {commit[:10] if commit else 'COMMIT'} {file}, then harness data pull {file}"


def _files_since(git: GitRecord) -> str:
    """The files that changed since a commit; empty if git does not have that commit."""
    names = provenance.changed_files(git.commit) if git.commit else []
    return f", with changes in {few(names)}" if names else ""


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "no commit"
