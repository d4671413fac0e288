"""Sections of a data check's page: copies, facts of the files, and how alike the sides look."""

from __future__ import annotations

from typing import Any

from harness.report.charts import Chart, Scale, horizontal, ticks
from harness.report.copy_sets import sets_shown
from harness.report.data_findings import numbers_between, strength
from harness.report.data_pictures import Pictures, copy_cards
from harness.report.finding import SIDE_NAMES, CopyGroup
from harness.report.headline import strip
from harness.report.texts import between, count, percent
from harness.runs.data_check_record import DataCheckRecord, FactShare, ShortcutRecord, SidesRecord

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
        "model does on new images, so the accuracy is too good. If there are many sets, split the images "
        "again, by where they come from: there may be more such images than are found.",
    ),
    CopyGroup.FOLDS: (
        "Copies in different folds",
        "A cross-validation trains on one of these copies and is judged by another, so its accuracy is too good. If "
        "there are many sets, keep what belongs together in one fold by the field groups of the experiment: a video, a "
        "series, a patient. There may be more such images than are found.",
    ),
    CopyGroup.OTHER: (
        "Other copies",
        "These copies have the same class and are on the same side. They count one picture several times: "
        "the model sees it more often, and a number of images says more than there is.",
    ),
    CopyGroup.SCENE: (
        "Perhaps the same scene",
        "These images are no copies, but their features are far closer than those of other neighbours: often two "
        "photographs of one place or one moment. Images of one scene on both sides of a fold, or in training and test, "
        "make the accuracy too good. To keep such images together, use the field groups of the experiment.",
    ),
}


def copy_sections(record: DataCheckRecord, pictures: Pictures) -> list[dict[str, Any]]:
    """A section for each group of copies that has any."""
    sections = []
    for group, (title, introduction) in INTRODUCTIONS.items():
        n = sum(CopyGroup.of(each) is group for each in record.sets)
        if n:
            sets = sets_shown(record, group)
            section = {
                "id": group.value,
                "title": title,
                "text": introduction,
                "n": n,
                "cards": copy_cards(sets, pictures),
                "left": n - len(sets),
            }
            sections.append(section)
    return sections


def shortcut_section(found: ShortcutRecord) -> dict[str, Any]:
    """The section on facts of the files."""
    danger = "A model can learn this in place of what is on the image, and then fails on files from elsewhere."
    mend = "Collect the classes from the same sources, or save all images in one format, mode and size."
    verdict = "That is not better than guessing by more than chance."
    if found.interval[0] > found.baseline and found.is_found:
        verdict = f"{danger} {mend}"
    elif found.is_found:
        verdict = f"That is hardly better than guessing, but the values below set a class apart. {danger} {mend}"
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


def likeness_section(found: SidesRecord) -> dict[str, Any]:
    """How alike two sides look, in words and as a line."""
    first, second = (SIDE_NAMES.get(side, side) for side in (found.first, found.second))
    interval = numbers_between(found.interval)
    if found.interval[1] < 0.5:
        words = (
            "No difference was found. The interval lies below 0.5, which is what tossing a coin gives: by chance, that "
            "happens in about 2 of 100 checks of images of one kind."
        )
    elif found.interval[0] <= 0.5:
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
    if found.interval[0] > 0.5:
        words += " Other cameras, places or seasons can be the reason, and also other shares of the classes."
    return {
        "title": f"{first} and {second} images".capitalize(),
        "auc": f"{found.auc:.2f}",
        "interval": interval,
        "n": f"{found.n[0]:,} {first} and {found.n[1]:,} {second} images",
        "words": words,
        "line": auc_line(found.auc, found.interval, interval),
    }


def _often(auc: float) -> str:
    """In how many of 100 pairs that is right."""
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
    chart.x_label = "0.5: they look alike, 1: they always look different"
    chart.key = [("valid", "AUC, with its 95 % interval"), ("guess", "tossing a coin")]
    return chart
