"""Sections on the page of a data check: copies, properties of the files, and differences between the splits."""

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

MOST_VALUES = 200  # the most rows of the table of file properties
INTRODUCTIONS = {
    CopyGroup.CONTRADICTION: (
        "The same image in several classes",
        "The images of a set are copies or look like copies, but their labels differ. Either a label is wrong, or the "
        "image shows both classes. A model cannot learn both labels.",
    ),
    CopyGroup.SIDES: (
        "Copies between training and evaluation images",
        "A model memorises the labels of its training images. Its accuracy on copies of them is too good, and does not "
        "show the accuracy on new images. If there are many sets, split the images again by their source, because the "
        "check may not find all copies.",
    ),
    CopyGroup.FOLDS: (
        "Copies in different folds",
        "The cross-validation trains on one of these copies and is evaluated on another, so its accuracy is too good. "
        "If there are many sets, use the field groups of the experiment to keep related images in one fold, such as "
        "the images of a video, a series or a patient. The check may not find all copies.",
    ),
    CopyGroup.OTHER: (
        "Other copies",
        "These copies have the same class and are in the same split. They count one image several times: the model "
        "trains on it more often, and the number of images is too high.",
    ),
    CopyGroup.SCENE: (
        "Possibly the same scene",
        "These images are not copies, but their features are much closer than those of other images. Often they are "
        "two photographs of one place or one moment. The accuracy is too good if images of one scene are in training "
        "and validation, or in training and test. To keep them together, use the field groups of the experiment.",
    ),
}


def copy_sections(record: DataCheckRecord, pictures: Pictures) -> list[dict[str, Any]]:
    """Returns a section for each group that has sets of copies."""
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


def shortcut_section(shortcut: ShortcutRecord) -> dict[str, Any]:
    """Returns the section about properties of the files."""
    danger = "A model can learn this instead of the content of the image. It then fails on files from other sources."
    fix = "Collect the classes from the same sources, or save all images in one format, mode and size."
    verdict = "This is not significantly better than the baseline."
    if shortcut.interval[0] > shortcut.baseline and shortcut.is_found:
        verdict = f"{danger} {fix}"
    elif shortcut.is_found:
        verdict = f"This is not clearly better than the baseline, but some values below reveal a class. {danger} {fix}"
    return {
        "is_found": shortcut.is_found,
        "facts": ", ".join(shortcut.facts),
        "accuracy": percent(shortcut.accuracy),
        "interval": between(shortcut.interval),
        "n": count(shortcut.n, "image"),
        "baseline": percent(shortcut.baseline),
        "verdict": verdict,
        "strip": strip(shortcut.accuracy, shortcut.interval, shortcut.baseline, None),
        "values": [_value(each) for each in shortcut.values[:MOST_VALUES]],
        "left": max(0, len(shortcut.values) - MOST_VALUES),
    }


def _value(fact: FactShare) -> dict[str, Any]:
    """A row of the table of values."""
    row: dict[str, Any] = {"label": fact.label, "fact": fact.fact, "value": fact.value}
    for name, (n, total) in (("of_class", fact.of_class), ("of_others", fact.of_others)):
        share = n / total if total else 0.0
        row[name] = f"{n:,} of {total:,} ({percent(share, 0 if share in (0, 1) else 1)})"
        row[f"{name}_share"] = share
    row["p"] = "< 0.001" if fact.p < 0.001 else f"{fact.p:.3f}"
    row["p_value"] = fact.p
    return row


def likeness_section(sides: SidesRecord) -> dict[str, Any]:
    """Returns the section about the difference of two splits, in words and as a chart."""
    first, second = (SIDE_NAMES.get(side, side) for side in (sides.first, sides.second))
    interval = numbers_between(sides.interval)
    if sides.interval[1] < 0.5:
        words = (
            "No difference was found. The interval is below 0.5, the value of random guessing. "
            "This happens by chance in about 2 of 100 checks of images of one kind."
        )
    elif sides.interval[0] <= 0.5:
        words = (
            "No difference was found: the interval includes 0.5, the value of random guessing. "
            "There could still be a small difference."
        )
    else:
        words = (
            f"This is {strength(sides)} difference. Given one {first} and one {second} image, a classifier finds the "
            f"{second} image {_often(sides.auc)}. Random guessing finds it in 50 of 100 pairs."
        )
    if sides.auc >= 0.8 and sides.interval[0] > 0.5:
        words += f" The {second} images do not look like the {first} images."
    if sides.interval[0] > 0.5:
        words += " Possible reasons are other cameras, places or seasons, or other frequencies of the classes."
    return {
        "title": f"{first} and {second} images".capitalize(),
        "auc": f"{sides.auc:.2f}",
        "interval": interval,
        "n": f"{sides.n[0]:,} {first} and {sides.n[1]:,} {second} images",
        "words": words,
        "line": auc_line(sides.auc, sides.interval, interval),
    }


def _often(auc: float) -> str:
    """In how many of 100 pairs the classifier is right."""
    if auc > 0.995:
        return "in nearly all pairs"
    return f"in {100 * auc:.0f} of 100 pairs"


def auc_line(auc: float, interval: list[float], text: str) -> Chart:
    """Returns a chart of an AUC and its interval on a line from 0.5 to 1. The line starts lower if the AUC is lower."""
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
    chart.x_label = "0.5: no difference, 1: always different"
    chart.key = [("valid", "AUC, with its 95 % interval"), ("guess", "random guessing")]
    return chart
