"""Protects runs from removal: they are running, a champion came from them, or another run needs them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config.experiment_file import FOLDER
from harness.errors import DataError, HarnessError
from harness.runs import champion
from harness.runs.contents import TRIAL
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.util.schema import is_inside
from harness.versioning.tracked import read_tracked
from harness.workflows.removal.stored import STUDY, StoredRun


class Protection:
    """The reasons why runs stay. Reads champions and experiments once, of this project and the project of `runs`.

    Raises ModelError or DataError if the run of the champion is unknown.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self.projects = _projects(runs)
        self._champions = _champions_of(self.projects)
        self._experiments = {path: _text(path) for project in self.projects for path in _settings(project)}

    def reason(self, item: StoredRun) -> str:
        """Why this run stays in any case; empty if it may be removed."""
        if item.folder is None:
            return "its record cannot be read, so it may belong to another program"
        lies = _lies_wrong(item, self._runs)
        if lies:
            return lies
        if item.status == Status.RUNNING:
            return "it is running"
        for run_id in sorted(item.ids & self._champions.keys()):
            return self._champions[run_id]
        name = item.path.name if item.path.name == item.folder.record.id else "/".join(item.path.parts[-2:])
        return next((f"{path} names it" for path, text in self._experiments.items() if name in text), "")


@contextlib.contextmanager
def no_promotion(runs: Path) -> Iterator[None]:
    """Locks promotions in this project, and in the project of `runs`."""
    places = {os.path.realpath(project / champion.FOLDER) for project in _projects(runs)}
    own = os.path.realpath(champion.FOLDER)
    with contextlib.ExitStack() as stack:
        for place in sorted(places):  # in one order for all processes
            if place == own or Path(place).is_dir():
                stack.enter_context(champion.alone(Path(place)))
        yield


def champions(items: Sequence[StoredRun], runs: Path) -> dict[StoredRun, str]:
    """A remark for each run and test of a champion; empty if the champions cannot be read."""
    try:
        known = _champions_of(_projects(runs))
    except HarnessError:
        return {}
    return {item: f"; {known[next(iter(own))]}" for item in items if (own := item.ids & known.keys())}


def _champions_of(projects: Sequence[Path]) -> dict[str, str]:
    """Like `champions_by_run`, for several projects."""
    return {run: why for project in projects for run, why in champions_by_run(project / champion.FOLDER).items()}


def _projects(runs: Path) -> list[Path]:
    """The current folder, and the parents of `runs`, as typed and with links resolved."""
    folders = [Path(), *(path.parent for path in (runs.absolute(), runs.resolve()))]
    return list({os.path.realpath(folder): folder for folder in reversed(folders)}.values())


def _settings(project: Path) -> list[Path]:
    """The files of a project that may name the weights of a run: experiments, and settings such as `params.yaml`.

    Excludes `dvc.yaml`, which names the runs of its stages, because DVC can repeat these.
    """
    settings = {*project.glob("*.yaml")} - {project / "dvc.yaml"}
    return [*sorted((project / FOLDER).rglob("*.py")), *sorted(settings)]


def champions_by_run(models: Path = champion.FOLDER) -> dict[str, str]:
    """Ids of the runs and tests of champions -> a text that names the champion.

    Raises:
        ModelError: A champion's record is damaged.
        DataError: The champions are under DVC, and not on this machine.
    """
    records = champion.history(models)
    now = models / champion.RECORD
    tracked = models.with_name(f"{models.name}.dvc")
    if (
        not records and not now.is_file() and tracked.is_file() and read_tracked(tracked).files != 0
    ):  # the tracked version is not empty
        raise DataError(
            "the champion is unknown",
            f"{models}.dvc names a version that is not on this machine",
            "harness data pull models",
        )
    by_run = {record.test.run: f"it is the test of champion {record.number}" for record in records if record.test.run}
    by_run |= {record.run.id: f"champion {record.number} came from it" for record in records}
    if now.is_file():
        by_run.setdefault(champion.run_id(models), "the champion came from it")
    return by_run


def without_needed(
    chosen: Sequence[StoredRun], every: Sequence[StoredRun], protection: Protection
) -> tuple[list[StoredRun], dict[StoredRun, str]]:
    """Splits `chosen` into runs that may be removed, and runs that stay with the reason.

    A run that another run needs stays only if the other run also stays.
    """
    kept = {item: reason for item in chosen if (reason := protection.reason(item))}
    going = [item for item in chosen if item not in kept]
    needs = [need for item in every for need in _needs(item, protection.projects)]
    while True:
        left = set(going)
        staying = [need for need in needs if need.by not in left]
        needed = {item: f"{need.why} {need.by.path}" for item in going for need in staying if need.is_for(item)}
        if not needed:
            return going, kept
        kept |= needed
        going = [item for item in going if item not in needed]


@dataclass(frozen=True)
class _Need:
    """The run `by` cannot be resumed or repeated without another run: the one with this file or id."""

    by: StoredRun
    why: str
    file: str = ""
    id: str = ""

    def is_for(self, item: StoredRun) -> bool:
        if item is self.by:
            return False
        return self.id in item.ids if self.id else self.file.startswith(os.path.realpath(item.path) + os.sep)


def _needs(item: StoredRun, projects: Sequence[Path]) -> Iterator[_Need]:
    for folder in _folders(item):
        weights, source = folder.record.experiment.get("weights"), folder.record.reproduces
        if isinstance(weights, str) and "://" not in weights:
            for project in projects:
                yield _Need(item, "it holds the weights of", file=os.path.realpath(project / weights))
        if source and folder.status is not Status.FINISHED:
            yield _Need(item, "it is reproduced by", id=source)


def _lies_wrong(item: StoredRun, runs: Path) -> str:
    """Why a folder is not removed because of its place; empty if its place is right."""
    home, path = os.path.realpath(runs), os.path.realpath(item.path)
    typed_home, typed = (os.path.normpath(path.absolute()) for path in (runs, item.path))
    is_below = typed.startswith(typed_home + os.sep)
    if item.path.is_symlink() or (is_below and home + typed.removeprefix(typed_home) != path):
        return "its folder is a link, or inside a linked folder"
    if not is_inside(item.path, runs):
        return f"it is outside {runs}"
    names = {"run.json", "study.json"}
    below = [entry.path for entry in item.entries if entry.path.name in names and len(entry.path.parts) > 1]
    trials = {path for path in below if item.kind == STUDY and TRIAL.fullmatch(path.parts[0]) and len(path.parts) == 2}
    return "its folder contains other runs" if {*below} - trials else ""


def _folders(item: StoredRun) -> Collection[RunFolder]:
    return item.trials if item.kind == STUDY else [item.folder] if isinstance(item.folder, RunFolder) else []


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
