"""Writes the file of a report, and decides which runs get one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.data.depth import Range
from harness.errors import UsageError, storage_errors
from harness.report.answers import answers_in
from harness.report.data_page import data_page
from harness.report.gallery import QUICK
from harness.report.page import is_report
from harness.report.run_page import run_page
from harness.report.study_page import study_page
from harness.runs.data_check_record import DataCheckRecord
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.util.files import write_whole

FILE = "report.html"  # in the folder of a run, a test or a study


def write_run_report(folder: RunFolder) -> bool:
    """Writes the report of a finished run to its folder, with only a few images, to be fast.

    Returns:
        Whether a report was written. Trials, fast dev runs and runs without predictions have none.

    Raises:
        UsageError: A file of the run is damaged.
        StorageError: It cannot be written.
    """
    record = folder.record
    if record.fast_dev_run or record.study is not None or record.accuracy is None or answers_in(folder) is None:
        return False
    write_page(folder.inside(FILE), run_page(folder, QUICK), force=True)
    return True


def write_study_report(folder: StudyFolder) -> bool:
    """Writes the report of a study to its folder. Returns False if no trial has finished a fold.

    Raises StorageError.
    """
    result = folder.record.result
    if result is None or folder.record.fast_dev_run or all(trial.accuracy is None for trial in result.trials):
        return False
    write_page(folder.inside(FILE), study_page(folder), force=True)
    return True


def write_data_report(
    record: DataCheckRecord,
    path: Path,
    force: bool = False,
    step: Callable[[], object] = lambda: None,
    images: bool = True,
    value_range: Range | None = None,
) -> None:
    """Writes the page of a data check; see `data_page`.

    Raises:
        UsageError: `path` is a folder, or a file that is not a report of harness, as in `require_own`.
        StorageError: It cannot be written.
    """
    require_own(path, force)  # checked first, because reading the images takes time
    write_page(path, data_page(record, step, images, value_range), force)


def require_own(path: Path, force: bool) -> None:
    """Raises UsageError if `path` is a folder, or a file that is not a report of harness.

    With `force`, any file may be replaced.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "a report is one file", f"--out {path / FILE}")
    if path.exists() and not path.is_file():  # reading a pipe may block
        raise UsageError(f"{path} is not a regular file", "it is a pipe or a device", "--out with another file")
    with storage_errors(path, "--out with another file"):
        if force or not path.exists() or is_report(path):
            return
    raise UsageError(
        f"{path} is there already",
        "it was not written by harness",
        "--out with another file, or --force to replace it",
    )


def write_page(path: Path, page: str, force: bool = False) -> None:
    """Writes a page atomically. Raises UsageError like `require_own`, and StorageError."""
    require_own(path, force)
    write_whole(path, page.encode("utf-8", "replace"))
