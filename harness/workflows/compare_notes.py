"""What a reader of a comparison must know: which images were left out and why, what the numbers hold and what not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from harness.errors import UsageError
from harness.evaluation.alignment import Alignment, LeftOut
from harness.runs.study_folder import StudyFolder
from harness.workflows.compare_sides import TEST, TRIAL, Answered, Side


def notes_of(answered: Sequence[Answered], found: Alignment, pairs: int) -> tuple[str, ...]:
    """All notes, for people."""
    sides = [each.side for each in answered]
    return (
        *_left_out(answered, found),
        *_matched(answered),
        *_repeats(answered),
        *_kinds(sides),
        *_chosen_trials(sides),
        *_meaning(found, pairs),
        *_noise(sides),
    )


def _left_out(answered: Sequence[Answered], found: Alignment) -> list[str]:
    notes = []
    for each, reasons in zip(answered, found.left_out, strict=True):
        if reasons:
            whys = "; ".join(_lacks(answered[reason.other].side.label, reason) for reason in reasons)
            count = len(each.answers) - len(found)
            notes.append(f"{count} of {each.side.label}'s {len(each.answers)} images are left out: {whys}")
    return notes


def _lacks(label: str, reason: LeftOut) -> str:
    parts = {
        f"not predicted by {label}": reason.not_predicted,
        f"with other pixels in {label}": reason.other_pixels,
        f"of another true class in {label}": reason.other_class,
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def _matched(answered: Sequence[Answered]) -> list[str]:
    return [
        f"{each.side.label} does not know the pixels of its images, so their paths count: {each.by_path}"
        for each in answered
        if each.by_path
    ]


def _repeats(answered: Sequence[Answered]) -> list[str]:
    """Copies of an image in one data set count once, too."""
    notes = []
    for each in answered:
        most = each.answers.most
        if most > 1 and (each.side.record.experiment.get("repeats") or 1) != 1:
            notes.append(
                f"{each.side.label} has up to {most} predictions of an image, by its repeats: they are averaged"
            )
        elif most > 1:
            notes.append(f"{each.side.label} has copies of images: the same pixels count once")
    return notes


def _kinds(sides: Sequence[Side]) -> list[str]:
    tests = [side.label for side in sides if side.kind == TEST]
    others = [side.label for side in sides if side.kind != TEST]
    if not tests or not others:
        return []
    return [f"{_listed(tests)} tested one model; in {_listed(others)}, each fold's model predicts the fold's images"]


def _chosen_trials(sides: Sequence[Side]) -> list[str]:
    """The best of many trials is lucky on the very images that chose it."""
    trials = [side for side in sides if side.kind == TRIAL]
    if not trials:
        return []
    numbers = []
    with suppress(UsageError):
        numbers = [StudyFolder.open(side.folder.path.parent).record.trials for side in trials]
    of = f" of {max(numbers)}" if numbers and max(numbers) > 1 else ""
    return [
        f"if {_listed([side.label for side in trials], 'or')} was chosen as the best{of} trials, its accuracy on these "
        "images is too good, and p does not count that"
    ]


def _meaning(found: Alignment, pairs: int) -> list[str]:
    unit = "images" if found.groups is None else "groups of images"
    test = f"p is exact (McNemar, by {unit})" + (f", corrected for {pairs} pairs (Holm)" if pairs > 1 else "")
    each = "; each interval is at 95 %, not all of them together" if pairs > 1 else "; intervals are at 95 %"
    return [
        f"{test}{each}",
        "these models on images of this kind: another seed gives other models, and that noise is not in the numbers",
    ]


def _noise(sides: Sequence[Side]) -> list[str]:
    noises = {side.label: side.record.noise for side in sides}
    return [
        f"the seed alone moves {label}'s accuracy by {100 * noise.deviation:.2f} points (standard deviation)"
        for label, noise in noises.items()
        if noise is not None and noise.deviation is not None
    ]


def _listed(labels: Sequence[str], word: str = "and") -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} {word} {labels[-1]}"
