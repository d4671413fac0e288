"""The page of `harness data check`: what was found, with the pictures beside each other."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from harness.report.charts import Chart, Scale, horizontal, ticks
from harness.report.data_findings import (
    SIDE_NAMES,
    CopyGroup,
    findings_of,
    numbers_between,
    strength,
)
from harness.report.data_pictures import MOST_SETS, MOST_SUSPECTS, Pictures, copy_cards, odd_groups, suspect_items
from harness.report.gallery import LEFT_OUT
from harness.report.headline import strip
from harness.report.page import render
from harness.report.texts import between, count, duration, folder_text, moment, percent, shown, without_folders
from harness.runs.data_check_record import DataCheckRecord, FactShare, ShortcutRecord, SidesRecord

MOST_CLASSES = 60  # whose images are counted
MOST_VALUES = 200  # of facts of the files
INTRODUCTIONS = {
    CopyGroup.CONTRADICTION: (
        "The same picture in several classes",
        "The images of a set are copies, or so alike that they were taken for copies, and their labels differ. "
        "Either a label is wrong, or the picture shows both classes. A model cannot learn both labels.",
    ),
    CopyGroup.SIDES: (
        "Copies between training and the images that judge",
        "A model that was trained on a picture knows its label by heart. A test on a copy does not show what the "
        "model does on new images, so the accuracy is too good.",
    ),
    CopyGroup.FOLDS: (
        "Copies between the two sides of a fold",
        "A fold trains on one of the copies and is judged by another, so the out-of-fold accuracy is too good.",
    ),
    CopyGroup.OTHER: (
        "Other copies",
        "These copies have the same class and are on the same side. They count one picture several times: "
        "the model sees it more often, and a number of images says more than there is.",
    ),
}
CONTENTS = {
    CopyGroup.CONTRADICTION.value: "Contradictions",
    CopyGroup.SIDES.value: "Copies between sides",
    CopyGroup.FOLDS.value: "Copies between folds",
    CopyGroup.OTHER.value: "Other copies",
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


def data_page(record: DataCheckRecord, step: Callable[[], object] = lambda: None, images: bool = True) -> str:
    """Returns the HTML of a data check's page.

    The pictures are read from `record.folder`, from paths below it. Pass `images=False` for a record that comes from
    elsewhere: it could name any folder.

    Args:
        record: What was found.
        step: Called after each image that is read.
        images: Whether to show images; without, findings are listed by name.
    """
    pictures = Pictures(record, images, step)
    suspects = suspect_items(record.suspects, pictures)
    sides = [side for side, classes in record.counts.items() if classes]
    context = {
        "title": f"{_name(record)}: check of the data",
        "heading": _name(record),
        "kind": "Check of the data",
        "date": moment(record.started),
        "warnings": [],
        "notes": [_short(record, text) for text in record.notes],
        "n": f"{record.n:,}",
        "checked": _checked(record, sides),
        "findings": findings_of(record),
        "sections": _sections(record),
        "may_show": images,
        "remarks": _remarks(pictures, images),
        "copies": _copies(record, pictures),
        "suspects": suspects,
        "suspects_shown": suspects[:MOST_SUSPECTS],
        "suspects_all": len(record.suspects),
        "shortcut": None if record.shortcut is None else _shortcut(record.shortcut),
        "likeness": [_likeness(each) for each in record.sides],
        "odd": odd_groups(record.odd, pictures),
        "sides": [SIDE_NAMES.get(side, side) for side in sides],
        "class_counts": _class_counts(record, sides),
        "class_counts_left": max(0, len(_classes(record)) - MOST_CLASSES),
        "done": _done(record),
        "methods": [_short(record, text) for text in record.methods],
        "limits": LIMITS,
        "commands": _commands(record),
    }
    return render("data.html", context)


def _sections(record: DataCheckRecord) -> dict[str, str]:
    """The sections that this page has -> their name among the contents."""
    there = {CopyGroup.of(each).value for each in record.copies}
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


def _short(record: DataCheckRecord, text: str) -> str:
    return without_folders(text, [record.name, record.data, record.folder])


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
    """What is to be said of all pictures."""
    remarks = [] if images else [LEFT_OUT]
    if pictures.gone:
        verb = "has" if pictures.gone == 1 else "have"
        remarks.append(f"{count(pictures.gone, 'image')} could not be read and {verb} no picture.")
    return remarks


def _copies(record: DataCheckRecord, pictures: Pictures) -> list[dict[str, Any]]:
    """A section for each group of copies that has any."""
    sections = []
    for group, (title, introduction) in INTRODUCTIONS.items():
        sets = [each for each in record.copies if CopyGroup.of(each) is group]
        if sets:
            section = {
                "id": group.value,
                "title": title,
                "text": introduction,
                "n": len(sets),
                "cards": copy_cards(sets, pictures),
                "left": max(0, len(sets) - MOST_SETS),
            }
            sections.append(section)
    return sections


def _shortcut(found: ShortcutRecord) -> dict[str, Any]:
    """The section on facts of the files."""
    verdict = (
        "A model can learn this in place of what is on the image, and then fails on files from elsewhere."
        if found.is_found
        else "That is not better than guessing by more than chance."
    )
    return {
        "is_found": found.is_found,
        "facts": ", ".join(found.facts),
        "accuracy": percent(found.accuracy),
        "interval": between(found.interval),
        "n": count(found.n, "image"),
        "baseline": percent(found.baseline),
        "verdict": verdict,
        "strip": strip(found.accuracy, found.interval, found.baseline, None),
        "values": [_value(each) for each in found.values[:MOST_VALUES]],
        "left": max(0, len(found.values) - MOST_VALUES),
    }


def _value(found: FactShare) -> dict[str, Any]:
    """A row of the table of values."""
    row: dict[str, Any] = {"label": found.label, "fact": found.fact, "value": found.value}
    for name, (n, total) in (("of_class", found.of_class), ("of_others", found.of_others)):
        share = n / total if total else 0.0
        row[name] = f"{n:,} of {total:,} ({percent(share, 0 if share in (0, 1) else 1)})"
        row[f"{name}_share"] = share
    row["p"] = "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    row["p_value"] = found.p
    return row


def _likeness(found: SidesRecord) -> dict[str, Any]:
    """How alike two sides look, in words and as a line."""
    first, second = (SIDE_NAMES.get(side, side) for side in (found.first, found.second))
    interval = numbers_between(found.interval)
    if found.interval[0] <= 0.5:
        words = (
            "No difference was found: the interval includes 0.5, which is what tossing a coin gives. "
            "A small difference could still be there."
        )
    else:
        words = (
            f"That is {strength(found)} difference. Of one {first} and one {second} image, a classifier says "
            f"{_often(found.auc)} which of the two is the {second} image; tossing a coin is right in 50 of 100 pairs."
        )
    if found.auc >= 0.8 and found.interval[0] > 0.5:
        words += f" The {second} images do not look like the {first} images."
    return {
        "title": f"{first} and {second} images".capitalize(),
        "auc": f"{found.auc:.2f}",
        "interval": interval,
        "n": f"{found.n[0]:,} {first} and {found.n[1]:,} {second} images",
        "words": words,
        "line": auc_line(found.auc, found.interval, interval),
    }


def _often(auc: float) -> str:
    """How many of 100 pairs are told apart."""
    if auc > 0.995:
        return "in nearly all pairs"
    return f"in {100 * auc:.0f} of 100 pairs"


def auc_line(auc: float, interval: list[float], text: str) -> Chart:
    """The interval of an AUC on a line from 0.5, or from its lower end if that is below, to 1."""
    low, high = interval
    start = min(0.5, int(min(low, auc) * 10) / 10)
    width = 420.0
    x = horizontal(start, 1.0, width, left=34.0)
    x = Scale(x.low, x.high, x.start, width - 34.0)
    about = f"AUC {auc:.2f}, 95 % interval {text}, on a line from {start:g} to 1"
    chart = Chart("", about, x, Scale(0, 1, 40.0, 6.0), "", "", width=width, height=76.0)
    chart.x_ticks = [(each, f"{each:g}") for each in ticks(start, 1.0, 5)]
    chart.rule((0.5, 0.0), (0.5, 1.0), "guess")
    chart.bar((low, high), (0.3, 0.7), "interval")
    chart.dot(auc, 0.5, "valid", 4)
    chart.x_label = "0.5: cannot be told apart, 1: can always be told apart"
    chart.key = [("valid", "AUC, with its 95 % interval"), ("guess", "tossing a coin")]
    return chart


def _class_counts(record: DataCheckRecord, sides: list[str]) -> list[tuple[str, list[int]]]:
    """(class, number of images on each side)."""
    return [(name, [record.counts[side].get(name, 0) for side in sides]) for name in _classes(record)[:MOST_CLASSES]]


def _classes(record: DataCheckRecord) -> list[str]:
    """All classes, in the order in which the sides name them."""
    return list(dict.fromkeys(name for classes in record.counts.values() for name in classes))


def _done(record: DataCheckRecord) -> list[tuple[str, str]]:
    """What was done, and with what."""
    none = "none: near copies were found by the hash alone, and the sides could not be compared"
    return [
        ("Features", _short(record, record.features) or none),
        ("Labels", _short(record, record.probabilities) or "not checked: there are no out-of-fold probabilities"),
        ("Pairs of copies", f"{record.pairs:,}"),
        ("Digest", record.digest),
        ("Took", duration(record.seconds)),
    ]


def _commands(record: DataCheckRecord) -> list[tuple[str, str]]:
    """(command, what it does)."""
    name = record.name
    is_typed = shown(name) == name == folder_text(name) and not name.startswith("-")
    word = shlex.quote(name) if is_typed else "FOLDER"
    return [
        (f"harness data check {word} --write fixes.csv", "writes a table with a row for each image that is named here"),
        ("harness data apply fixes.csv", "does what its column “action” says: keep, move to another class, or remove"),
        ("harness data undo", "takes that back: removed files are kept in a folder beside the images"),
    ]
