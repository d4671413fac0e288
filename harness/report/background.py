"""The last part of a report: the images, the settings, and the origin of the result."""

from __future__ import annotations

from typing import Any

from harness.report.texts import count, duration, folder_text, moment, percent, value_text, without_folders
from harness.runs.record_parts import DataRecord
from harness.runs.records import Origin, RunRecord
from harness.util.text import few

Rows = list[tuple[str, str]]
MOST_CLASSES = 60  # the most classes in the table of image counts
MOST_SKIPPED = 20  # the most images in the list of images that were left out


def data_rows(data: DataRecord) -> Rows:
    """Facts about the images."""
    counts = list(data.classes.values())
    rows = [
        ("Folder", folder_text(data.folder)),
        ("Images", f"{count(data.images, 'image')} of {count(len(counts), 'class', 'classes')}"),
    ]
    if len(counts) > 1 and min(counts):
        rows.append(
            (
                "Balance",
                f"{min(counts):,} to {max(counts):,} images per class (ratio {max(counts) / min(counts):.1f})",
            )
        )
    if data.groups is not None:
        rows.append(
            (
                "Groups",
                f"{data.groups:,}: images of one group, such as copies, are not independent and stay in one fold",
            )
        )
    if data.leaked:
        rows.append(("Leak", f"{count(data.leaked, 'image')} used for both training and evaluation"))
    if data.near_copies:
        near = count(data.near_copies, "evaluated image")
        rows.append(("Near copies", f"{near} with a near copy among the training images"))
    if data.skipped:
        rows.append(("Left out", f"{count(len(data.skipped), 'image')} that cannot be decoded"))
    if data.ignored:
        rows.append(("Ignored", f"{count(data.ignored, 'file')} without the name of an image file"))
    rows.append(("Digest", data.digest))
    if data.dvc is not None:
        state = "all files match it" if data.dvc.matches else "files differ from it"
        rows.append(("Version", f"{folder_text(data.dvc.file)}, {data.dvc.md5}: {state}"))
    return rows


def class_counts(data: DataRecord) -> list[tuple[str, int, str]]:
    """(class, number of images, share) for the first classes."""
    total = max(1, sum(data.classes.values()))
    return [(name, n, percent(n / total)) for name, n in list(data.classes.items())[:MOST_CLASSES]]


def skipped_rows(data: DataRecord) -> Rows:
    """(image, reason) for images that were left out."""
    return list(data.skipped.items())[:MOST_SKIPPED]


def setting_rows(record: Origin, fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value, origin of the value) for each field of the experiment."""
    rows = []
    for name, value in fields.items():
        text = folder_text(value) if isinstance(value, str) and ("/" in value or "\\" in value) else value_text(value)
        rows.append((name, text, record.origins.get(name, "")))
    return rows


def folders_of(record: Origin, data: DataRecord | None) -> list[object]:
    """The paths in a record, which notes and commands may contain, too."""
    fields = getattr(record, "experiment", {})
    own = [fields.get(name) for name in ("data", "valid_data", "test_data", "weights")]
    return [*own, None if data is None else data.folder, record.weights]


def notes_of(record: Origin, data: DataRecord | None) -> list[str]:
    """The notes of the record, with short paths."""
    return [without_folders(text, folders_of(record, data)) for text in record.notes]


def command_text(record: Origin, data: DataRecord | None) -> str:
    """The typed command, with short paths."""
    return " ".join(without_folders(word, folders_of(record, data)) for word in record.command)


def provenance_rows(record: Origin, data: DataRecord | None, own_id: str) -> Rows:
    """The origin of a result, without the names of the machine and its user and without addresses of trackers."""
    rows = [("Id", own_id), ("Started", moment(record.started))]
    if isinstance(record, RunRecord) and record.run_seconds is not None:
        rows.append(("Time", duration(record.run_seconds)))
    if record.git is not None:
        dirty = ", with uncommitted changes" if record.git.dirty else ""
        rows.append(("Commit", f"{record.git.commit or 'unknown'}{dirty}"))
    else:
        rows.append(("Commit", "none: the code was not in a git repository"))
    if record.seed is not None:
        rows.append(("Seed", str(record.seed)))
    if record.command:
        rows.append(("Command", command_text(record, data)))
    if record.versions:
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())))
    system, cores = record.machine.get("system"), record.machine.get("cores")
    if system:
        rows.append(("System", f"{system}{f', {cores} cores' if cores else ''}"))
    if record.precision is not None and record.precision.reason:
        rows.append(("Precision", f"{record.precision.name}: {record.precision.reason}"))
    if isinstance(record, RunRecord):
        rows += [("Resumed", _resumed(each.differs)) for each in record.resumes]
    return rows


def _resumed(differs: list[str]) -> str:
    """A line about a resumption, without the names of machines."""
    others = ["another machine" if text.startswith("host: ") else text for text in differs]
    return f"the run was interrupted and resumed{'; what differed: ' if others else ''}{few(others)}"
