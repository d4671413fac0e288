"""The findings of a data check, the most serious first: the first screen of its page."""

from __future__ import annotations

from harness.report.copy_findings import copy_findings
from harness.report.finding import SIDE_NAMES, Finding, State, sides_of
from harness.report.texts import between, count, percent
from harness.runs.data_check_record import DataCheckRecord, OddKind, SidesRecord
from harness.util.text import few

UNCLEAR = 0.15  # accuracy above the baseline that the interval must exclude for "nothing found"


def findings_of(record: DataCheckRecord) -> list[Finding]:
    """Returns all findings, the most serious first."""
    return [*copy_findings(record), label_finding(record), shortcut_finding(record), likeness(record), odd(record)]


def label_finding(record: DataCheckRecord) -> Finding:
    """Returns the finding about labels that are probably wrong."""
    title, suspects = "Labels to check", len(record.suspects)
    if suspects:
        agrees = f"; it agrees with {percent(record.right)} of all labels" if record.right else ""
        text = f"{count(suspects, 'label')} that a model disagrees with{agrees}"
        return Finding("labels", title, State.FOUND, f"{suspects:,}", text)
    if not record.probabilities:
        return Finding("labels", title, State.UNKNOWN, "", "not checked: there are no out-of-fold probabilities")
    return Finding("labels", title, State.CLEAR, "", "nothing found")


def shortcut_finding(record: DataCheckRecord) -> Finding:
    """Returns the finding about properties of the files that predict the class."""
    title, shortcut = "A shortcut in the files", record.shortcut
    if shortcut is None:
        return Finding("shortcut", title, State.UNKNOWN, "", "not checked: there are too few images")
    facts, values = few(shortcut.facts), shortcut.values
    predicted = f"the class of {percent(shortcut.accuracy)} of the images ({between(shortcut.interval)})"
    if not shortcut.is_found and not values:
        verb = "does" if len(shortcut.facts) == 1 else "do"
        text = f"nothing found: {facts} {verb} not predict the class"
        if not shortcut.facts:
            text = "nothing found: all compared properties of the files are the same"
        if shortcut.facts and shortcut.interval[1] - shortcut.baseline > UNCLEAR:
            text = f"not known: {facts} predict {predicted}, and the baseline is {percent(shortcut.baseline)}"
            return Finding("shortcut", title, State.UNKNOWN, "", f"{text}; there are too few images to decide")
        return Finding("shortcut", title, State.CLEAR, "", text)
    if shortcut.is_found and shortcut.interval[0] > shortcut.baseline:
        text = f"{facts} alone predict {predicted}; the baseline is {percent(shortcut.baseline)}"
        return Finding("shortcut", title, State.BAD, percent(shortcut.accuracy, 0), text)
    text = f"{count(len(values), 'value')} with a very different frequency in one class than in the others"
    return Finding("shortcut", title, State.BAD if shortcut.is_found else State.FOUND, f"{len(values):,}", text)


def likeness(record: DataCheckRecord) -> Finding:
    """Returns the finding about differences between the training images and the split that differs most from them."""
    names = few([name for side, name in sides_of(record) if side != "train"]) or "test"
    title = f"Differences between training and {names} images"
    if not record.sides:
        why = "there are too few images"
        if len(sides_of(record)) < 2:
            why = "only one set of images was checked"
        elif not record.features:
            why = "there are no features of a model"
        return Finding("likeness", title, State.UNKNOWN, "", f"not checked: {why}")
    worst = max(record.sides, key=lambda each: each.interval[0])
    if worst.interval[0] <= 0.5:
        text = f"no difference found: AUC {worst.auc:.2f}, 95 % interval {numbers_between(worst.interval)}"
        return Finding("likeness", title, State.CLEAR, "", text)
    names = " and ".join(SIDE_NAMES.get(side, side) for side in (worst.first, worst.second))
    which = f" between {names} images" if len(record.sides) > 1 else ""
    interval = numbers_between(worst.interval)
    text = f"{strength(worst)} difference{which}: AUC {worst.auc:.2f}, 95 % interval {interval}"
    return Finding("likeness", title, State.FOUND, f"{worst.auc:.2f}", text)


def strength(sides: SidesRecord) -> str:
    """Returns a word for an AUC, by the steps of Hosmer, Lemeshow and Sturdivant, "Applied Logistic Regression", 5.2.4.

    The word has its article: "a small".
    """
    steps = ((0.7, "a small"), (0.8, "a clear"), (0.9, "a large"))
    return next((word for most, word in steps if sides.auc < most), "a very large")


def numbers_between(interval: list[float]) -> str:
    """Returns a text such as `0.90 to 0.95`."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def odd(record: DataCheckRecord) -> Finding:
    """Returns the finding about unreadable and unusual images."""
    title = "Unreadable and unusual images"
    common = [note for note in record.notes if note.partition(":")[0] in {*OddKind}]  # kinds with too many to list
    if not record.odd and common:
        return Finding("odd", title, State.FOUND, "many", "; ".join(common))
    if not record.odd:
        return Finding("odd", title, State.CLEAR, "", "nothing found")
    kinds = {kind: sum(each.kind == kind for each in record.odd) for kind in OddKind}
    text = "; ".join([", ".join(f"{n:,} {kind.value}" for kind, n in kinds.items() if n), *common])
    images = {(each.image.side, each.image.path) for each in record.odd}
    state = State.BAD if kinds[OddKind.UNREADABLE] else State.FOUND
    return Finding("odd", title, state, f"{len(images):,}", text)
