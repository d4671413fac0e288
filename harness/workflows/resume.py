"""Resumes an interrupted run in its own folder, from the last state that it saved."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile, is_function, is_same_function
from harness.errors import UsageError
from harness.runs.find import find_run, latest_runs
from harness.runs.record_parts import ProgressRecord, ResumeRecord, Status
from harness.runs.run_folder import RunFolder, now
from harness.runs.unfinished import UNFINISHED, next_beginning, progress_text
from harness.training.plan import Plan
from harness.training.saved_fit import saved_progress
from harness.util.processes import this_process
from harness.util.text import few
from harness.workflows.crossval import Resume
from harness.workflows.experiment_copy import COPY
from harness.workflows.reproduce import Difference, differences, set_threads

NO_EFFECT = (
    "name",
    "trackers",
    "workers",
    "data",
    "valid_data",
    "test_data",
    "min_accuracy",
)  # fields that do not change the result


@dataclass(frozen=True)
class Unfinished:
    """An interrupted run, and what has changed since it started.

    Attributes:
        folder: The run folder.
        changes: Changes of the experiment, its file or the images. The run continues only with `--force`.
        elsewhere: Changes of machine, device or versions. The results then agree within noise.
        progress: The state from which it continues; None after all folds.
        unsaved: Attributes of callbacks and losses that could not be saved in a checkpoint.
    """

    folder: RunFolder
    changes: tuple[Difference, ...]
    elsewhere: tuple[Difference, ...]
    progress: ProgressRecord | None
    unsaved: tuple[str, ...]

    def resume(self, force: bool = False) -> Resume:
        """Returns how the run continues. Raises UsageError if the experiment or its images changed, unless `force`."""
        folder = self.folder
        classes = [each for each in self.changes if each.what == "classes"]
        if classes:
            raise UsageError(
                f"{folder.path} cannot be resumed", f"{classes[0]}", "harness run EXPERIMENT, for a new run"
            )
        if self.changes and not force:
            raise UsageError(
                f"{folder.path} is not resumed",
                f"changed since it started: {'; '.join(map(str, self.changes))}",
                "harness run EXPERIMENT, for a new run; or --force, which is recorded",
            )
        differs = [str(each) for each in (*self.changes, *self.elsewhere)]
        differs += [f"could not be saved, and is reset: {few(self.unsaved)}"] if self.unsaved else []
        record = ResumeRecord(now(), folder.status, None, differs, bool(self.changes))
        return Resume(folder, record, drops_state=_of_other_images(self.changes))

    def lines(self) -> list[str]:
        """Lines to print: where the run continues, and what differs."""
        folder = self.folder
        lines = [f"  resumes    {folder.path}, after {progress_text(folder, self.progress)}"]
        lines += [f"  differs    {each}" for each in (*self.changes, *self.elsewhere)]
        lines += [f"  differs    could not be saved, and is reset: {few(self.unsaved)}"] if self.unsaved else []
        return lines


def unfinished_run(named: str, runs: Path) -> RunFolder:
    """The unfinished run that `named` means. Raises UsageError if it has finished, still runs, or is a trial."""
    folder = find_run(named, runs)
    record, status = folder.record, folder.status
    if folder.is_test:
        raise UsageError(f"{folder.path} is a test", "it trains nothing", "harness test MODEL")
    if record.study is not None:
        raise UsageError(f"{folder.path} is a trial", "only its search can resume it", f"{_search(folder)}")
    if status is Status.RUNNING:
        raise UsageError(
            f"{folder.path} is still running",
            f"its process {record.pid} on {record.host} is alive",
            "wait until it ends, or stop that process",
        )
    if status not in UNFINISHED and record.progress is not None and record.progress.fold == 0:
        why = f"only its refit is unfinished, and {progress_text(folder, record.progress)} is saved"
        raise UsageError(f"{folder.path} has no folds left to train", why, f"harness refit {quote(folder.typed)}")
    if status not in UNFINISHED:
        raise UsageError(
            f"{folder.path} cannot be resumed", f"its status is {status}", "harness run EXPERIMENT, for a new run"
        )
    return folder


def latest_unfinished(experiment: Experiment, runs: Path, fold: int | None = None) -> RunFolder | None:
    """The latest run with the same experiment and command-line settings if it was interrupted; None otherwise.

    Runs with other settings are ignored, because the jobs of an array share a folder. So are fast dev runs.
    """
    typed = _typed(experiment.to_dict(), {name: experiment.origin(name) for name in experiment.to_dict()})
    for folder in latest_runs(runs):
        record = folder.record
        if folder.is_test or record.study is not None or record.fast_dev_run or record.reproduces:
            continue
        same = record.name == experiment.name and _typed(record.experiment, record.origins) == typed
        if same and _has_fold(folder, fold) and folder.status is not Status.RUNNING:
            return folder if folder.status in UNFINISHED else None
    return None


def compare_with(folder: RunFolder, plan: Plan, file: ExperimentFile | None = None) -> Unfinished:
    """Compares an unfinished run with its plan on this machine.

    Args:
        folder: The run.
        plan: Its plan, made again.
        file: The present experiment file; None if the copy in the run folder is used.
    """
    if plan.device.type == "cpu":
        set_threads(folder)
    record, changes = folder.record, tuple(_changes(folder, plan, file))
    progress, unsaved = (next_beginning(folder), []) if _of_other_images(changes) else saved_progress(folder)
    elsewhere = [each for each in differences(folder, plan) if each.what != "weights" and each.then != each.now]
    host, threads = this_process()["host"], torch.get_num_threads()
    if file is not None and not (folder.path / COPY).is_file():
        elsewhere.append(Difference(str(file.path), f"no {COPY} in the run folder", "the present file"))
    pairs = {"host": (record.host, host), "threads": (record.threads, threads)}
    elsewhere += [
        Difference(what, str(then), str(now)) for what, (then, now) in pairs.items() if then not in (None, now)
    ]
    return Unfinished(folder, changes, tuple(elsewhere), progress, tuple(unsaved))


def _changes(folder: RunFolder, plan: Plan, file: ExperimentFile | None) -> list[Difference]:
    """Changes that affect the result: the experiment, its file, images, folds and weights."""
    record, copy = folder.record, folder.path / COPY
    then, now = {"class_folder": "outer", **record.experiment}, plan.experiment.to_dict()
    changes = []
    if file is not None and copy.is_file() and file.code != copy.read_bytes():
        changes.append(Difference(str(file.path), *_first_difference(copy.read_bytes(), file.code)))
    for name in now:
        before = then.get(name)
        is_same = is_same_function(before, now[name]) if is_function(before) else before == now[name]
        if name not in NO_EFFECT and not is_same:
            changes.append(Difference(name, str(before), str(now[name])))
    if plan.images.classes != folder.classes:
        changes.append(Difference("classes", few(folder.classes), few(plan.images.classes)))
    if plan.digest != record.data.digest:
        counts = record.data.images, len(plan.images)
        changes.append(Difference("images", f"{counts[0]} ({record.data.digest})", f"{counts[1]} ({plan.digest})"))
    elif [*record.splits] != [str(fold) for fold in plan.splits]:
        changes.append(Difference("folds", few([*record.splits]), few([str(fold) for fold in plan.splits])))
    changes += [each for each in differences(folder, plan) if each.what == "weights"]
    return changes


def _of_other_images(changes: Sequence[Difference]) -> bool:
    """Whether the images or the folds have changed, so that no saved state can be used."""
    return bool({each.what for each in changes} & {"images", "folds"})


def _first_difference(then: bytes, now: bytes) -> tuple[str, str]:
    """The first line that differs, in each text."""
    old, new = (text.decode("utf-8", "replace").splitlines() for text in (then, now))
    for tag, i, _, j, _ in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            lines = (
                f"line {at + 1} {text[at].strip()!r}" if at < len(text) else "nothing"
                for at, text in ((i, old), (j, new))
            )
            first, second = lines
            return first, second
    return "other line endings", "the present line endings"


def _typed(values: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the command line."""
    return {name: values.get(name) for name, origin in origins.items() if origin == "command line"}


def _has_fold(folder: RunFolder, fold: int | None) -> bool:
    """Whether a run trains only that fold, or all folds if `fold` is None."""
    fields, splits = folder.record.experiment, [*folder.record.splits]
    is_whole = len(splits) == max(1, fields.get("folds") or 1) * fields.get("repeats", 1)
    return is_whole if fold is None else splits[:1] == [str(fold)] and (not is_whole or len(splits) == 1)


def _search(folder: RunFolder) -> str:
    return " ".join(map(quote, folder.record.command)) or "harness search"
