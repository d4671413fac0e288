"""Writes one HTML file about a run, a trial, a test, a study or the champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import UsageError
from harness.report.answers import answers_in
from harness.report.gallery import FULL
from harness.report.headline import Facts
from harness.report.run_page import run_page
from harness.report.study_page import study_page
from harness.report.texts import between, count, folder_text, moment, percent
from harness.report.write import FILE, require_own, write_page
from harness.runs.champion import Champion, named_so
from harness.runs.find import find_run, latest_runs, latest_studies
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import PREFIX, StudyFolder
from harness.util.console import bar_of

FULL_IMAGES = FULL.images


def report(
    named: str, runs: Path = Path("runs"), out: Path | None = None, force: bool = False, images: bool = True
) -> Path:
    """Writes the report of a result as one HTML file, and returns its path.

    Args:
        named: A run, a trial or a test (its folder, its id, or the end of its id), a study (its folder or its name),
            or "champion".
        runs: The folder that contains the run folders.
        out: The file; by default `report.html` in the folder of the result, and `champion-NUMBER.html` in the current
            folder for the champion.
        force: Whether to replace a file that is not a report.
        images: Whether to include small copies of images. Without them, errors are listed by name.

    Raises:
        UsageError: There is no such result, its predictions are missing or damaged, or `out` is not a report.
        StorageError: The file cannot be written.
    """
    champion = named_so(named)
    if champion is not None:
        path = out or Path(f"champion-{champion.number}.html")
        require_own(path, force)
        write_page(path, _counted(lambda step: champion_page(champion, runs, step, images)), force)
        return path
    folder = find_result(named, runs)
    path = out or folder.inside(FILE)
    require_own(path, force)
    if isinstance(folder, StudyFolder):
        write_page(path, study_page(folder), force)
        return path
    require_predictions(folder)
    write_page(path, _counted(lambda step: run_page(folder, step=step, images=images)), force)
    return path


def find_result(named: str, runs: Path) -> RunFolder | StudyFolder:
    """The run, trial, test or study that `named` means; a study by its folder or its name. Raises UsageError."""
    path = Path(named)
    if (path / StudyFolder.FILE).is_file():
        return StudyFolder.open(path)
    if not path.is_dir():
        name = named.removeprefix(PREFIX)
        studies = [study for study in latest_studies(runs) if study.record.name == name]
        if len(studies) == 1:
            return studies[0]
        if studies:
            which = ", ".join(str(study.path) for study in studies[:5])
            raise UsageError(
                f"{len(studies)} studies are called {name}",
                f"they are {which}",
                "harness report PATH, with one of these paths",
            )
    try:
        return find_run(named, runs)
    except UsageError as error:
        if (path / "run.json").exists():
            raise
        raise UsageError(
            f"{named} is not a run, test or study",
            error.why,
            "harness list, which shows the latest runs and the studies",
        ) from error


def require_predictions(folder: RunFolder) -> None:
    """Raises UsageError if a run has no predictions, or if they are damaged."""
    if folder.record.accuracy is not None and answers_in(folder) is not None:
        return
    if folder.is_test:
        why, fix = "the test did not finish", "harness test, again"
    else:
        done, planned = len(folder.record.folds), len(folder.record.splits)
        state = "is still running" if folder.status is Status.RUNNING else f"was {folder.status}"
        why = f"{done} of {count(planned, 'fold')} {'has' if done == 1 else 'have'} ended, and the run {state}"
        fix = "wait for its first fold" if folder.status is Status.RUNNING else f"harness resume {folder.typed}"
        if done:
            why, fix = "its prediction files are missing", f"harness reproduce {folder.typed}"
    raise UsageError(f"{folder.path} has no predictions to report on", why, fix)


def champion_page(
    champion: Champion, runs: Path, step: Callable[[], object] = lambda: None, images: bool = True
) -> str:
    """Returns the report of the test that the champion passed; of its run, if that test is not on this machine.

    Raises UsageError if neither has predictions.
    """
    record = champion.record
    test = record.test
    facts: Facts = [("Champion", f"number {champion.number}, promoted {moment(record.promoted)}")]
    if record.comparison is not None:
        facts.append(("Compared", record.comparison.says))
    facts.append(
        (
            "Its run",
            f"{record.run.name}, {record.run.id}: {percent(record.run.accuracy)} ({between(record.run.interval)})",
        )
    )
    warnings = ["Forced: it was promoted with --force, although it did not pass all checks."] if record.forced else []
    title = f"Champion {champion.number}: {record.run.name}"
    for folder in latest_runs(runs):
        if folder.id == test.run and folder.is_test and answers_in(folder) is not None:
            return run_page(folder, title=title, facts=facts, warnings=warnings, step=step, images=images)
    folder = RunFolder.open(champion.run)
    require_predictions(folder)
    tested = (
        f"{percent(test.accuracy)} ({between(test.interval)}) on {count(test.n, 'image')} of {folder_text(test.data)}"
    )
    passed = "passed" if test.gate.passed else "NOT passed"
    facts.append(("Its test", f"{tested}; gate {percent(test.gate.min_accuracy)}: {passed}"))
    warnings.append("Its test is not on this machine, so everything below is about its run.")
    if test.leaked:
        warnings.append(f"Leak: the champion was trained on {test.leaked:,} of its test images.")
    return run_page(folder, title=title, facts=facts, warnings=warnings, step=step, images=images)


def _counted(page: Callable[[Callable[[], object]], str]) -> str:
    """The page; a terminal shows a progress bar while its images are read."""
    with bar_of(FULL_IMAGES, "images", "images") as bar:
        return page(bar.update)
