"""Writes the table of fixes of a data check, for a spreadsheet program."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from harness.data.source_of import source_of
from harness.errors import UsageError
from harness.runs.data_check_record import DataCheckRecord
from harness.util.escape import cell
from harness.util.files import write_whole
from harness.workflows.fixes.rows import HEADER, KEEP, MD5, Settings
from harness.workflows.fixes.suggest import findings_of

ELSEWHERE = "--write FILE, with another file"


def write_fixes(record: DataCheckRecord, path: Path | str, force: bool = False) -> int:
    """Writes a CSV file with a row for each image that the check names. Returns the number of rows.

    The column `action` is "keep" in all rows, for a person to change: see `apply_fixes`. The file starts with the
    byte order mark of UTF-8, because Excel shows "ü" as two letters without it. No cell is a formula.

    Raises:
        UsageError: `path` is not a name of a CSV file, belongs to the data, or exists and `force` is off.
        StorageError: It cannot be written.
    """
    path = Path(path)
    require_free(path, force, (record.data, record.valid_data, record.test_data), record.columns)
    settings = _settings_cell(record)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    findings = findings_of(record)
    for finding in findings:
        image = finding.image
        md5 = f"{MD5}{image.md5}" if image.md5 else ""
        row = [image.path, image.side, image.label, finding.likely, "; ".join(finding.reasons), finding.copy_of]
        row += [finding.suggestion, KEEP, md5, record.data, settings]
        writer.writerow([cell(value) for value in row])
    write_whole(path, codecs.BOM_UTF8 + text.getvalue().encode("utf-8", "backslashreplace"), ELSEWHERE)
    return len(findings)


def require_free(
    path: Path, force: bool = False, sources: Iterable[str | None] = (), columns: Sequence[str] = ()
) -> None:
    """Raises UsageError if no table of fixes can be written to `path`, so that a check can fail before it starts.

    `sources` are the folders and tables of the images, and `columns` the names of their columns, as in `list_table`.
    None of their files is replaced, even with `force`.
    """
    if path.suffix.lower() != ".csv":
        raise UsageError(f"--write {path} is not a CSV file", "its name must end in .csv", "--write fixes.csv")
    if path.is_dir():
        raise UsageError(f"{path} cannot be written", "it is a folder", "--write fixes.csv")
    belongs = source_of(path, sources, columns)
    if belongs:
        raise UsageError(f"{path} is not replaced", f"{belongs}, and would be lost", ELSEWHERE)
    if os.path.lexists(path) and not force:
        why = "it may have been edited, so it is not overwritten"
        raise UsageError(f"{path} already exists", why, f"{ELSEWHERE}; or --force")
    if not path.parent.is_dir():
        why, fix = "the file would be written in it", f"mkdir -p {quote(str(path.parent))}"
        raise UsageError(f"the folder {path.parent} does not exist", why, fix)


def _settings_cell(record: DataCheckRecord) -> str:
    """The settings that are not defaults, as JSON; empty if there are none."""
    settings = Settings(
        None if record.folder == record.data else record.folder,
        record.valid_data,
        record.test_data,
        record.class_folder,
        record.columns,
    )
    other = {name: value for name, value in dataclasses.asdict(settings).items() if value}
    return json.dumps(other) if other else ""
