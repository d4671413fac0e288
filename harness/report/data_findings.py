"""What a check of the data found, by gravity: the first screen of its page."""

from __future__ import annotations

from harness.report.copy_findings import copy_findings
from harness.report.finding import SIDE_NAMES, Finding, State, sides_of
from harness.report.texts import between, count, percent
from harness.runs.data_check_record import DataCheckRecord, OddKind, SidesRecord
from harness.util.text import few

UNCLEAR = 0.15  # of accuracy above guessing, which an interval must exclude for "nothing found"


def findings_of(record: DataCheckRecord) -> list[Finding]:
    """All lines, in the order of their gravity."""
    return [*copy_findings(record), label_finding(record), shortcut_finding(record), likeness(record), odd(record)]


def label_finding(record: DataCheckRecord) -> Finding:
    """The line of labels that are probably wrong."""
    title, found = "Labels to look at", len(record.suspects)
    if found:
        agrees = f"; it agrees with {percent(record.right)} of all labels" if record.right else ""
        text = f"{count(found, 'label')} that a model disagrees with{agrees}"
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
        verb = "does" if len(found.facts) == 1 else "do"
        text = f"nothing found: {few(found.facts)} {verb} not tell the class"
        if not found.facts:
            text = "nothing found: the files are alike in all that was compared"
        if found.facts and found.interval[1] - found.baseline > UNCLEAR:
            text = (
                f"not known: {few(found.facts)} tell the class of {percent(found.accuracy)} of the images "
                f"({between(found.interval)}), guessing of {percent(found.baseline)}; these are too few images to say"
            )
            return Finding("shortcut", title, State.UNKNOWN, "", text)
        return Finding("shortcut", title, State.CLEAR, "", text)
    if found.is_found and found.interval[0] > found.baseline:
        text = (
            f"{few(found.facts)} alone tell the class of {percent(found.accuracy)} of the images "
            f"({between(found.interval)}); guessing tells {percent(found.baseline)}"
        )
        return Finding("shortcut", title, State.BAD, percent(found.accuracy, 0), text)
    text = f"{count(len(found.values), 'value')} that one class has far more or far less often than the others"
    return Finding("shortcut", title, State.BAD if found.is_found else State.FOUND, f"{len(found.values):,}", text)


def likeness(record: DataCheckRecord) -> Finding:
    """The line of how alike the training images and the others look; that of the sides that differ most."""
    names = few([name for side, name in sides_of(record) if side != "train"]) or "test"
    title = f"How alike training and {names} images look"
    if not record.sides:
        why = "there are too few images"
        if len(sides_of(record)) < 2:
            why = "only one set of images was checked"
        elif not record.features:
            why = "there are no features of a model"
        return Finding("likeness", title, State.UNKNOWN, "", f"not looked for: {why}")
    worst = max(record.sides, key=lambda each: each.interval[0])
    if worst.interval[0] <= 0.5:
        text = f"no difference found: AUC {worst.auc:.2f}, 95 % interval {numbers_between(worst.interval)}"
        return Finding("likeness", title, State.CLEAR, "", text)
    names = " and ".join(SIDE_NAMES.get(side, side) for side in (worst.first, worst.second))
    which = f" between {names} images" if len(record.sides) > 1 else ""
    interval = numbers_between(worst.interval)
    text = f"{strength(worst)} difference{which}: AUC {worst.auc:.2f}, 95 % interval {interval}"
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
    common = [note for note in record.notes if note.partition(":")[0] in {*OddKind}]  # too many to list one by one
    if not record.odd and common:
        return Finding("odd", title, State.FOUND, "many", "; ".join(common))
    if not record.odd:
        return Finding("odd", title, State.CLEAR, "", "nothing found")
    kinds = {kind: sum(each.kind == kind for each in record.odd) for kind in OddKind}
    text = "; ".join([", ".join(f"{n:,} {kind.value}" for kind, n in kinds.items() if n), *common])
    images = {(each.image.side, each.image.path) for each in record.odd}
    state = State.BAD if kinds[OddKind.UNREADABLE] else State.FOUND
    return Finding("odd", title, state, f"{len(images):,}", text)
