"""What a check of the data found, by gravity: the first screen of its page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.report.texts import between, count, percent
from harness.runs.data_check_record import CopySet, DataCheckRecord, OddKind, SidesRecord
from harness.util.text import few

SIDE_NAMES = {"train": "training", "valid": "validation", "test": "test"}


class CopyGroup(str, Enum):
    """What a set of copies does to a result, the worst first; its value is the section of the page."""

    CONTRADICTION = "contradictions"
    SIDES = "sides"
    FOLDS = "folds"
    OTHER = "copies"

    @classmethod
    def of(cls, found: CopySet) -> CopyGroup:
        """The worst that is true of a set."""
        if found.is_contradiction:
            return cls.CONTRADICTION
        if found.between_sides:
            return cls.SIDES
        return cls.FOLDS if found.between_folds else cls.OTHER


class State(str, Enum):
    """Whether something was found; its value is the class of the line."""

    BAD = "bad"  # found, and it makes a result wrong
    FOUND = "found"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # not looked for


@dataclass(frozen=True)
class Finding:
    """One line of the first screen.

    Attributes:
        section: The page's section about it.
        title: What was looked for.
        state: Whether it was found.
        figure: How many, or another number; empty if nothing was found.
        text: What that means, or why it was not looked for.
    """

    section: str
    title: str
    state: State
    figure: str
    text: str


def findings_of(record: DataCheckRecord) -> list[Finding]:
    """All lines, in the order of their gravity."""
    return [*copy_findings(record), label_finding(record), shortcut_finding(record), likeness(record), odd(record)]


def copy_findings(record: DataCheckRecord) -> list[Finding]:
    """One line for each `CopyGroup`. A set that belongs to several is counted in each, but shown in the first only."""
    sides = _sides(record)
    others = few([name for side, name in sides if side != "train"]) or "test"
    several = {side for side, _ in sides} > {"train"}
    titles = {
        CopyGroup.CONTRADICTION: "The same picture in several classes",
        CopyGroup.SIDES: f"Copies between training and {others} images",
        CopyGroup.FOLDS: "Copies between the two sides of a fold",
        CopyGroup.OTHER: "Other copies",
    }
    why_not = {
        CopyGroup.CONTRADICTION: "" if len(_classes(record)) > 1 else "there is only one class",
        CopyGroup.SIDES: "" if several else "only one set of images was checked",
        CopyGroup.FOLDS: "" if record.folds else "these images are not divided into folds",
        CopyGroup.OTHER: "",
    }
    last = max((_rank(CopyGroup.of(each)) for each in record.copies), default=0)
    lines = []
    for group in CopyGroup:
        found = [each for each in record.copies if _belongs(each, group)]
        cut = record.more_copies > 0 and _rank(group) >= last
        if found or cut:
            lines.append(_copies(record, group, titles[group], found, cut))
        elif why_not[group]:
            lines.append(Finding(group.value, titles[group], State.UNKNOWN, "", f"not looked for: {why_not[group]}"))
        else:
            lines.append(Finding(group.value, titles[group], State.CLEAR, "", "nothing found"))
    return lines


def _copies(record: DataCheckRecord, group: CopyGroup, title: str, found: list[CopySet], cut: bool) -> Finding:
    """The line of a group of which there are some, or perhaps some: `cut` is whether the list may lack a few."""
    if not found:
        text = f"not known: {count(record.more_copies, 'more set')} of copies did not fit the list"
        return Finding(group.value, title, State.UNKNOWN, "", text)
    images = {(image.side, image.path, image.label) for each in found for image in each.images}
    parts = [f"{count(len(found), 'set')} of copies, {count(len(images), 'image')}"]
    if group is CopyGroup.CONTRADICTION:
        parts.append("a model cannot learn both labels")
    if group is CopyGroup.SIDES:
        judged = [_share_judged(record, side, name, found) for side, name in _sides(record) if side != "train"]
        parts.append(few([text for text in judged if text]) + ": the result is too good")
    if group is CopyGroup.FOLDS:
        parts.append("the out-of-fold accuracy is too good")
    if group is CopyGroup.OTHER:
        parts.append("they count the same picture several times")
    above = sum(CopyGroup.of(each) is not group for each in found)
    if above:
        parts.append(f"{above:,} of these sets {'is' if above == 1 else 'are'} listed further up")
    if cut:
        parts.append(f"{count(record.more_copies, 'more set')} did not fit the list")
    state = State.FOUND if group is CopyGroup.OTHER else State.BAD
    return Finding(group.value, title, state, f"{len(found):,}{'+' if cut else ''}", "; ".join(parts))


def _share_judged(record: DataCheckRecord, side: str, name: str, found: list[CopySet]) -> str:
    """`12 of 360 test images have a copy among the training images`; empty if none has one."""
    total = sum(record.counts.get(side, {}).values())
    paths = {
        image.path
        for each in found
        if any(image.side == "train" for image in each.images)
        for image in each.images
        if image.side == side
    }
    if not paths:
        return ""
    verb = "has" if len(paths) == 1 else "have"
    return f"{len(paths):,} of {total:,} {name} images {verb} a copy among the training images"


def _belongs(found: CopySet, group: CopyGroup) -> bool:
    if group is CopyGroup.CONTRADICTION:
        return found.is_contradiction
    if group is CopyGroup.SIDES:
        return found.between_sides
    return found.between_folds if group is CopyGroup.FOLDS else CopyGroup.of(found) is CopyGroup.OTHER


def _rank(group: CopyGroup) -> int:
    return list(CopyGroup).index(group)


def label_finding(record: DataCheckRecord) -> Finding:
    """The line of labels that are probably wrong."""
    title, found = "Labels that are probably wrong", len(record.suspects)
    if found:
        text = f"{count(found, 'image')} to look at: a list of suspects, and no verdict"
        return Finding("labels", title, State.FOUND, f"{found:,}", text)
    if not record.probabilities:
        return Finding("labels", title, State.UNKNOWN, "", "not looked for: there are no out-of-fold probabilities")
    return Finding("labels", title, State.CLEAR, "", "nothing found")


def shortcut_finding(record: DataCheckRecord) -> Finding:
    """The line of what the files betray without any pixel."""
    title, found = "A shortcut in the files", record.shortcut
    if found is None:
        return Finding("shortcut", title, State.UNKNOWN, "", "not looked for: there are too few images")
    if not found.is_found and not found.values:
        text = f"nothing found: {few(found.facts)} do not tell the class"
        return Finding("shortcut", title, State.CLEAR, "", text)
    text = (
        f"{few(found.facts)} alone tell the class of {percent(found.accuracy)} of the images "
        f"({between(found.interval)}); guessing tells {percent(found.baseline)}"
        if found.is_found
        else f"{count(len(found.values), 'value')} that one class has far more or far less often than the others"
    )
    figure = percent(found.accuracy, 0) if found.is_found else f"{len(found.values):,}"
    return Finding("shortcut", title, State.BAD if found.is_found else State.FOUND, figure, text)


def likeness(record: DataCheckRecord) -> Finding:
    """The line of how alike the training images and the others look; that of the sides that differ most."""
    names = few([name for side, name in _sides(record) if side != "train"]) or "test"
    title = f"How alike training and {names} images look"
    if not record.sides:
        why = "there are too few images"
        if len(_sides(record)) < 2:
            why = "only one set of images was checked"
        elif not record.features:
            why = "there are no features of a model"
        return Finding("likeness", title, State.UNKNOWN, "", f"not looked for: {why}")
    worst = max(record.sides, key=lambda each: each.interval[0])
    if worst.interval[0] <= 0.5:
        return Finding("likeness", title, State.CLEAR, "", "no difference found")
    text = f"{strength(worst)} difference: AUC {worst.auc:.2f}, 95 % interval {numbers_between(worst.interval)}"
    return Finding("likeness", title, State.FOUND, f"{worst.auc:.2f}", text)


def strength(found: SidesRecord) -> str:
    """One word for an AUC, by the steps of Hosmer, Lemeshow and Sturdivant, "Applied Logistic Regression", 5.2.4."""
    steps = ((0.7, "a small"), (0.8, "a clear"), (0.9, "a large"))
    return next((word for most, word in steps if found.auc < most), "a very large")


def numbers_between(interval: list[float]) -> str:
    """`0.90 to 0.95`."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def odd(record: DataCheckRecord) -> Finding:
    """The line of unreadable and unusual images."""
    title = "Unreadable and odd images"
    if not record.odd:
        return Finding("odd", title, State.CLEAR, "", "nothing found")
    kinds = {kind: sum(each.kind == kind for each in record.odd) for kind in OddKind}
    text = ", ".join(f"{n:,} {kind.value}" for kind, n in kinds.items() if n)
    images = {(each.image.side, each.image.path) for each in record.odd}
    state = State.BAD if kinds[OddKind.UNREADABLE] else State.FOUND
    return Finding("odd", title, state, f"{len(images):,}", text)


def _sides(record: DataCheckRecord) -> list[tuple[str, str]]:
    """(side, its name) of those that have images, training first."""
    sides = [side for side, classes in record.counts.items() if sum(classes.values())]
    return [(side, SIDE_NAMES.get(side, side)) for side in sorted(sides, key=lambda side: side != "train")]


def _classes(record: DataCheckRecord) -> set[str]:
    return {name for classes in record.counts.values() for name in classes}
