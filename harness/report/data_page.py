"""The page of `harness data check`: what was found, with the pictures beside each other."""

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

MOST_CLASSES = 60  # whose images are counted
CONTENTS = {
    CopyGroup.CONTRADICTION.value: "Contradictions",
    CopyGroup.SIDES.value: "Copies between sides",
    CopyGroup.FOLDS.value: "Copies between folds",
    CopyGroup.OTHER.value: "Other copies",
    CopyGroup.SCENE.value: "Same scene",
    "labels": "Labels",
    "shortcut": "Shortcut",
    "likeness": "Likeness",
    "odd": "Odd images",
}
LIMITS = (
    "Copies: the same object or scene in two photographs is no copy, but a model may know it again. Strong crops, "
    "turned pictures and heavy edits can be missed.",
    "Labels: a suspect is an image where a model and its label disagree. Images that are wrong in the same way many "
    "times look right, and rare or difficult images look wrong.",
    "Shortcuts: only facts of the files are compared. A shortcut in the picture itself, such as a watermark, a ruler "
    "or the background, is not seen.",
    "Nothing found does not mean that there is nothing.",
)


def data_page(
    record: DataCheckRecord,
    step: Callable[[], object] = lambda: None,
    images: bool = True,
    value_range: Range | None = None,
) -> str:
    """Returns the HTML of a data check's page.

    The pictures are read from `record.folder`, from paths below it. Pass `images=False` for a record that comes from
    elsewhere: it could name any folder.

    Args:
        record: What was found.
        step: Called after each image that is read.
        images: Whether to show images; without, findings are listed by name.
        value_range: Of images with more than 8 bits, as the check has it; without, each image is shown in its own
            range, in which a dark image looks bright.
    """
    pictures = Pictures(record, images, step, value_range)
    suspects = suspect_items(record.suspects, pictures)
    sides = [side for side, classes in record.counts.items() if classes]
    context = {
        "title": f"{_name(record)}: check of the data",
        "heading": _name(record),
        "kind": "Check of the data",
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
    """The sections that this page has -> their name among the contents."""
    there = {CopyGroup.of(each).value for each in record.sets}
    others = (
        ("labels", record.suspects),
        ("shortcut", record.shortcut is not None),
        ("likeness", record.sides),
        ("odd", record.odd),
    )
    there |= {name for name, found in others if found}
    return {name: title for name, title in CONTENTS.items() if name in there}


def _name(record: DataCheckRecord) -> str:
    return folder_text(record.name)


def _checked(record: DataCheckRecord, sides: list[str]) -> list[tuple[str, str]]:
    """What was checked, for the first screen."""
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
    """What is missing among the pictures, and why."""
    remarks = [] if images else [LEFT_OUT]
    if pictures.is_gone:
        remarks.append("The images are not shown: their folder is not there any more.")
    if pictures.unread:
        verb = "has" if pictures.unread == 1 else "have"
        remarks.append(f"{count(pictures.unread, 'image')} could not be read any more and {verb} no picture.")
    return remarks


def _class_counts(record: DataCheckRecord, sides: list[str]) -> list[tuple[str, list[int]]]:
    """(class, number of images on each side)."""
    return [(name, [record.counts[side].get(name, 0) for side in sides]) for name in _classes(record)[:MOST_CLASSES]]


def _classes(record: DataCheckRecord) -> list[str]:
    """All classes, in the order in which the sides name them."""
    return list(dict.fromkeys(name for classes in record.counts.values() for name in classes))


def _done(record: DataCheckRecord, pictures: Pictures) -> list[tuple[str, str]]:
    """What was done, and with what."""
    none = "none: near copies were found by the hash alone, and the sides could not be compared"
    return [
        ("Features", pictures.text(record.features) or none),
        ("Labels", pictures.text(record.probabilities) or "not checked: there are no out-of-fold probabilities"),
        ("Pairs of copies", f"{record.pairs:,}"),
        ("Digest", record.digest),
        ("Took", duration(record.seconds)),
    ]


def _commands(record: DataCheckRecord) -> list[tuple[str, str]]:
    """(command, what it does)."""
    typed = record.arguments or shlex.quote(record.name)
    is_typed = shown(typed) == typed == folder_text(typed) and not typed.startswith("-")
    word = typed if is_typed else "FOLDER"
    return [
        (f"harness data check {word} --write fixes.csv", "writes a table with a row for each image that is named here"),
        ("harness data apply fixes.csv", "does what its column “action” says: keep, move to another class, or remove"),
        ("harness data undo", "takes that back: removed files are kept in a folder beside the images"),
    ]
