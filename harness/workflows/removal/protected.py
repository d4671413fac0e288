"""Which runs are never removed, and why: they are in work, the champion came from them, or another run needs them."""

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
    """Why runs stay. It is read once: the champions and the experiments of this project, and of the one with the runs.

    Raises ModelError or DataError if it cannot be known which run is the champion's.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self.projects = _projects(runs)
        self._champions = _champions_of(self.projects)
        self._experiments = {path: _text(path) for project in self.projects for path in _settings(project)}

    def reason(self, item: StoredRun) -> str:
        """Why this one stays whatever else is removed; empty if nothing is against it."""
        if item.folder is None:
            return "its record cannot be read, so nobody can say whose it is"
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
    """Within, no run becomes the champion of this project, or of the one with the runs."""
    places = {os.path.realpath(project / champion.FOLDER) for project in _projects(runs)}
    own = os.path.realpath(champion.FOLDER)
    with contextlib.ExitStack() as stack:
        for place in sorted(places):  # in one order for all processes
            if place == own or Path(place).is_dir():
                stack.enter_context(champion.alone(Path(place)))
        yield


def champions(items: Sequence[StoredRun], runs: Path) -> dict[StoredRun, str]:
    """A remark for each run and test that a champion came from; nothing if that cannot be known."""
    try:
        known = _champions_of(_projects(runs))
    except HarnessError:
        return {}
    return {item: f"; {known[next(iter(own))]}" for item in items if (own := item.ids & known.keys())}


def _champions_of(projects: Sequence[Path]) -> dict[str, str]:
    """As `champions_by_run`, of several projects."""
    return {run: why for project in projects for run, why in champions_by_run(project / champion.FOLDER).items()}


def _projects(runs: Path) -> list[Path]:
    """This folder, and those that `runs` lies in as typed, and behind a link."""
    folders = [Path(), *(path.parent for path in (runs.absolute(), runs.resolve()))]
    return list({os.path.realpath(folder): folder for folder in reversed(folders)}.values())


def _settings(project: Path) -> list[Path]:
    """The files of a project that may name a run's weights: experiments, and settings such as `params.yaml`.

    `dvc.yaml` names the runs of its stages, which DVC makes again.
    """
    settings = {*project.glob("*.yaml")} - {project / "dvc.yaml"}
    return [*sorted((project / FOLDER).rglob("*.py")), *sorted(settings)]


def champions_by_run(models: Path = champion.FOLDER) -> dict[str, str]:
    """The ids of the runs and the tests that each champion came from -> which champion, for people.

    Raises:
        ModelError: A champion's record is damaged.
        DataError: The champions are under DVC, and not on this machine.
    """
    records = champion.history(models)
    now = models / champion.RECORD
    tracked = models.with_name(f"{models.name}.dvc")
    if not records and not now.is_file() and tracked.is_file() and read_tracked(tracked).files != 0:  # not as empty
        raise DataError(
            "nobody here knows the champion",
            f"{models}.dvc names a version of it that is not here",
            "harness data pull models",
        )
    found = {record.test.run: f"it is the test of champion {record.number}" for record in records if record.test.run}
    found |= {record.run.id: f"champion {record.number} came from it" for record in records}
    if now.is_file():
        found.setdefault(champion.run_id(models), "the champion came from it")
    return found


def without_needed(
    chosen: Sequence[StoredRun], every: Sequence[StoredRun], protection: Protection
) -> tuple[list[StoredRun], dict[StoredRun, str]]:
    """Splits `chosen` into those that may be removed and those that stay, with the reason.

    A run that another one needs stays only if that one stays, too.
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
    """That one run cannot be trained, on or again, without another one: the one that holds a file, or has an id."""

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
    """Why a folder is not removed where it lies; empty if it lies right."""
    home, path = os.path.realpath(runs), os.path.realpath(item.path)
    typed_home, typed = (os.path.normpath(path.absolute()) for path in (runs, item.path))
    is_below = typed.startswith(typed_home + os.sep)
    if item.path.is_symlink() or (is_below and home + typed.removeprefix(typed_home) != path):
        return "its folder is a link, or lies behind one"
    if not is_inside(item.path, runs):
        return f"it lies outside of {runs}"
    names = {"run.json", "study.json"}
    below = [entry.path for entry in item.entries if entry.path.name in names and len(entry.path.parts) > 1]
    trials = {path for path in below if item.kind == STUDY and TRIAL.fullmatch(path.parts[0]) and len(path.parts) == 2}
    return "other runs lie in its folder" if {*below} - trials else ""


def _folders(item: StoredRun) -> Collection[RunFolder]:
    return item.trials if item.kind == STUDY else [item.folder] if isinstance(item.folder, RunFolder) else []


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
