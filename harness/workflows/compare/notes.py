"""Remarks on a comparison: which images were left out and why, and how to read the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from harness.errors import UsageError
from harness.evaluation.alignment import Alignment, LeftOut
from harness.runs.records import TestRecord
from harness.runs.study_folder import StudyFolder
from harness.util.text import counted
from harness.workflows.compare.pair import Pair
from harness.workflows.compare.sides import TEST, TRIAL, Answered, Side


def notes_of(answered: Sequence[Answered], found: Alignment, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Returns all remarks, one line each."""
    sides = [each.side for each in answered]
    return (
        *(dict.fromkeys(pair.unfair for pair in pairs if pair.unfair) if len(pairs) > 1 else ()),
        *_left_out(answered, found),
        *_matched(answered),
        *_repeats(answered),
        *_kinds(sides),
        *_split_groups(sides),
        *_looks(sides),
        *_chosen_trials(sides),
        *_meaning(found, len(pairs)),
        *_noise(sides),
    )


def _left_out(answered: Sequence[Answered], found: Alignment) -> list[str]:
    """One remark for all sides whose images are left out for the same reasons."""
    same: dict[tuple[int, str], list[str]] = {}
    causes: set[int] = set()
    for each, reasons in zip(answered, found.left_out, strict=True):
        if reasons:
            lacks = [_lacks(answered[reason.other].side.label, reason) for reason in reasons]
            whys = [f"{count:,} {what}" for lack in lacks for what, count in lack.items()]
            count = len(each.answers) - len(found)
            text = next(iter(lacks[0])) if len(whys) == 1 else ", ".join(whys)
            same.setdefault((count, text), []).append(each.side.label)
            causes |= {reason.other for reason in reasons}
    notes = [
        f"left out: {counted(count, 'image')} of {_listed(labels)}: {text}" for (count, text), labels in same.items()
    ]
    if len(causes) == 1 and len(answered) > 2:
        label = answered[causes.pop()].side.label
        notes.append(f"without {label}, the others have more images in common")
    return notes


def _lacks(label: str, reason: LeftOut) -> dict[str, int]:
    parts = {
        f"not predicted by {label}": reason.not_predicted,
        f"with other pixels in {label}": reason.other_pixels,
        f"with another true class in {label}": reason.other_class,
    }
    return {what: count for what, count in parts.items() if count}


def _matched(answered: Sequence[Answered]) -> list[str]:
    same: dict[str, list[str]] = {}
    for each in answered:
        if each.by_path:
            same.setdefault(each.by_path, []).append(each.side.label)
    return [
        f"images of {_listed(labels)} have no fingerprints, so they are matched by their paths: {why}"
        for why, labels in same.items()
    ]


def _repeats(answered: Sequence[Answered]) -> list[str]:
    """Remarks on images with several predictions, and on copies of an image in a data set."""
    notes = []
    for each in answered:
        most = each.answers.most
        if most > 1 and (each.side.record.experiment.get("repeats") or 1) != 1:
            notes.append(
                f"{each.side.label} has up to {most} predictions per image, because of its repeats: they are averaged"
            )
        elif most > 1:
            notes.append(f"{each.side.label} has copies of images: images with the same pixels count once")
    return notes


def _kinds(sides: Sequence[Side]) -> list[str]:
    tests = [side.label for side in sides if side.kind == TEST]
    others = [side.label for side in sides if side.kind != TEST]
    notes = []
    if tests and others:
        notes = [f"{_listed(tests)} tested one model; in {_listed(others)}, each fold has a separate model"]
    same: dict[str, list[str]] = {}
    for side in sides:
        if isinstance(side.record, TestRecord):
            same.setdefault(side.record.checkpoint.sha256, []).append(side.label)
    return [*notes, *(f"{_listed(labels)} are tests of the same model" for labels in same.values() if len(labels) > 1)]


def _looks(sides: Sequence[Side]) -> list[str]:
    """How often the images were tested: the best of many tested models is partly lucky."""
    records = {side.label: side.record for side in sides}
    looks = {label: record.looks for label, record in records.items() if isinstance(record, TestRecord)}
    return [f"{label} was {each}" for label, each in looks.items() if each is not None and each.models > 1]


def _split_groups(sides: Sequence[Side]) -> list[str]:
    """A run that splits a group is evaluated on images similar to its training images."""
    runs = [side for side in sides if side.kind != TEST]
    whole = [side.label for side in runs if side.record.experiment.get("groups") is not None]
    split = [side.label for side in runs if side.record.experiment.get("groups") is None]
    if not whole or not split:
        return []
    return [
        f"{_listed(split)} may have split groups that {_listed(whole)} kept in one fold: then its accuracy is too good"
    ]


def _chosen_trials(sides: Sequence[Side]) -> list[str]:
    """The best of many trials is partly lucky on the images with which it was chosen."""
    trials = [side for side in sides if side.kind == TRIAL]
    if not trials:
        return []
    numbers = []
    with suppress(UsageError):
        numbers = [StudyFolder.open(side.folder.path.parent).record.trials for side in trials]
    count = str(max(numbers)) if numbers and max(numbers) > 1 else "many"
    labels = _listed([side.label for side in trials], "or")
    chosen = f"if {labels} was chosen as the best of {count} trials, its accuracy on these images is too good"
    return [f"{chosen}, and p ignores that"]


def _meaning(found: Alignment, pairs: int) -> list[str]:
    way = "McNemar" if found.groups is None else "McNemar, with permutations of whole groups"
    test = f"p is exact ({way})" + (f", corrected for {pairs} pairs (Holm)" if pairs > 1 else "")
    each = "; 95 % intervals, each on its own" if pairs > 1 else "; 95 % intervals"
    return [
        f"{test}{each}",
        "the results are about these models on similar images: they do not include the variation between seeds",
    ]


def _noise(sides: Sequence[Side]) -> list[str]:
    noises = {side.label: side.record.noise for side in sides}
    return [
        f"another seed changes the accuracy of {label} by about {100 * noise.deviation:.2f} points "
        f"(standard deviation of its {len(noise.repeats)} repeats)"
        for label, noise in noises.items()
        if noise is not None and noise.deviation is not None
    ]


def _listed(labels: Sequence[str], word: str = "and") -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} {word} {labels[-1]}"
