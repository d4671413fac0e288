"""The page of `harness data check`: the findings with their images."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from harness.data.depth import Range
from harness.report.data_findings import findings_of
from harness.report.data_pictures import MOST_SUSPECTS, Pictures, odd_groups, suspect_items
from harness.report.data_sections import copy_sections, likeness_section, shortcut_section
from harness.report.finding import SIDE_NAMES, CopyGroup
from harness.report.gallery import LEFT_OUT
from harness.report.page import render
from harness.report.texts import count, duration, folder_text, moment, percent, shown
from harness.runs.data_check_record import DataCheckRecord

MOST_CLASSES = 60  # the most classes in the table of image counts
CONTENTS = {
    CopyGroup.CONTRADICTION.value: "Contradictions",
    CopyGroup.SIDES.value: "Copies between splits",
    CopyGroup.FOLDS.value: "Copies between folds",
    CopyGroup.OTHER.value: "Other copies",
    CopyGroup.SCENE.value: "Same scene",
    "labels": "Labels",
    "shortcut": "Shortcut",
    "likeness": "Differences of splits",
    "odd": "Unusual images",
}
LIMITS = (
    "Copies: two photographs of the same object or scene are not copies, but a model may recognise the object. Strong "
    "crops, rotated images and heavy edits can be missed.",
    "Labels: a suspect is an image where the model and the label disagree. If many similar images have the same wrong "
    "label, they are not found. Rare or difficult images can be suspects although their labels are right.",
    "Shortcuts: only properties of the files are compared. A shortcut in the pixels, such as a watermark, a ruler or "
    "the background, is not found.",
    "“Nothing found” does not prove that there is no problem.",
)


def data_page(
    record: DataCheckRecord,
    step: Callable[[], object] = lambda: None,
    images: bool = True,
    value_range: Range | None = None,
) -> str:
    """Returns the page of a data check as HTML.

    The images are read from `record.folder`. Pass `images=False` for a record from elsewhere, because it could name
    any folder.

    Args:
        record: The result of the check.
        step: Called after each image that is read.
        images: Whether to show images. If not, findings are listed by name.
        value_range: The value range of images with more than 8 bits. Without it, each image is shown in its own range,
            and a dark image looks bright.
    """
    pictures = Pictures(record, images, step, value_range)
    suspects = suspect_items(record.suspects, pictures)
    sides = [side for side, classes in record.counts.items() if classes]
    context = {
        "title": f"{_name(record)}: data check",
        "heading": _name(record),
        "kind": "Data check",
        "date": moment(record.started),
        "warnings": [],
        "notes": [pictures.text(text) for text in record.notes],
        "n": f"{record.n:,}",
        "checked": _checked(record, sides),
        "findings": findings_of(record),
        "sections": _sections(record),
        "may_show": pictures.may_show,
        "remarks": _remarks(pictures, images),
        "copies": copy_sections(record, pictures),
        "suspects": suspects,
        "suspects_shown": suspects[:MOST_SUSPECTS],
        "suspects_all": len(record.suspects),
        "right": percent(record.right) if record.right else "",
        "shortcut": None if record.shortcut is None else shortcut_section(record.shortcut),
        "likeness": [likeness_section(each) for each in record.sides],
        "odd": odd_groups(record.odd, pictures),
        "sides": [SIDE_NAMES.get(side, side) for side in sides],
        "class_counts": _class_counts(record, sides),
        "class_counts_left": max(0, len(_classes(record)) - MOST_CLASSES),
        "done": _done(record, pictures),
        "methods": [pictures.text(text) for text in record.methods],
        "limits": LIMITS,
        "commands": _commands(record),
    }
    return render("data.html", context)


def _sections(record: DataCheckRecord) -> dict[str, str]:
    """The id of each section of this page -> its name in the table of contents."""
    there = {CopyGroup.of(each).value for each in record.sets}
    others = (
        ("labels", record.suspects),
        ("shortcut", record.shortcut is not None),
        ("likeness", record.sides),
        ("odd", record.odd),
    )
    there |= {name for name, content in others if content}
    return {name: title for name, title in CONTENTS.items() if name in there}


def _name(record: DataCheckRecord) -> str:
    return folder_text(record.name)


def _checked(record: DataCheckRecord, sides: list[str]) -> list[tuple[str, str]]:
    """The checked images and classes, for the first screen."""
    classes = _classes(record)
    rows = [("Images", folder_text(record.data))]
    for side in sides:
        of_side = record.counts[side]
        total = sum(of_side.values())
        sizes = f", from {min(of_side.values()):,} to {max(of_side.values()):,} each" if len(of_side) > 1 else ""
        name = SIDE_NAMES.get(side, side).capitalize()
        rows.append((name, f"{count(total, 'image')} in {count(len(of_side), 'class', 'classes')}{sizes}"))
    rows.append(("Classes", ", ".join(f"“{name}”" for name in classes[:6]) + (", …" if len(classes) > 6 else "")))
    if record.folds:
        rows.append(("Folds", str(record.folds)))
    return rows


def _remarks(pictures: Pictures, images: bool) -> list[str]:
    """Which images are not shown, and why."""
    remarks = [] if images else [LEFT_OUT]
    if pictures.is_gone:
        remarks.append("The images are not shown, because their folder does not exist any more.")
    if pictures.unread:
        verb = "is" if pictures.unread == 1 else "are"
        remarks.append(f"{count(pictures.unread, 'image')} could not be read and {verb} not shown.")
    return remarks


def _class_counts(record: DataCheckRecord, sides: list[str]) -> list[tuple[str, list[int]]]:
    """(class, number of images in each split)."""
    return [(name, [record.counts[side].get(name, 0) for side in sides]) for name in _classes(record)[:MOST_CLASSES]]


def _classes(record: DataCheckRecord) -> list[str]:
    """All classes, in the order of the splits."""
    return list(dict.fromkeys(name for classes in record.counts.values() for name in classes))


def _done(record: DataCheckRecord, pictures: Pictures) -> list[tuple[str, str]]:
    """How the check was done."""
    none = "none: near copies were found by the hash only, and the splits could not be compared"
    return [
        ("Features", pictures.text(record.features) or none),
        ("Labels", pictures.text(record.probabilities) or "not checked: there are no out-of-fold probabilities"),
        ("Pairs of copies", f"{record.pairs:,}"),
        ("Digest", record.digest),
        ("Time", duration(record.seconds)),
    ]


def _commands(record: DataCheckRecord) -> list[tuple[str, str]]:
    """(command, description)."""
    typed = record.arguments or shlex.quote(record.name)
    is_typed = shown(typed) == typed == folder_text(typed) and not typed.startswith("-")
    word = typed if is_typed else "FOLDER"
    return [
        (f"harness data check {word} --write fixes.csv", "writes a table with one row for each image of a finding"),
        ("harness data apply fixes.csv", "applies its column “action”: keep, move to another class, or remove"),
        ("harness data undo", "undoes this: removed files are kept in a folder beside the images"),
    ]
