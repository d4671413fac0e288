"""Finds validation and test images with a near copy in the training set. They cause warnings, not errors."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.config.experiment_file import find
from harness.data.check import Check
from harness.data.copies import Copies, find_copies
from harness.data.near_copies import STEPS, NearCopy
from harness.data.splits import Split
from harness.errors import ExperimentError
from harness.util.console import bar_of
from harness.workflows.find_leaks import TestSide
from harness.workflows.plan_data import DataPlan

MOST_COMPARED = 50_000  # up to this number, all images are compared with each other: 25 seconds of CPU time, once
GROUPS = "-s 'groups=(clip[0-9]+)', a regular expression that finds the group in a path"
SERIES = 0.1  # above this share of near copies, images are probably frames of videos, or series

Partners = dict[int, tuple[int, NearCopy]]  # image -> (its nearest copy, their pair)


@dataclass(frozen=True)
class NearFindings:
    """Attributes:
    judged: Indices of the validation images with a near copy in the training set of their fold.
    notes: Warnings, a line each; empty if there are no near copies.
    """

    judged: tuple[int, ...]
    notes: tuple[str, ...]


def find_near(
    experiment: Experiment,
    data: DataPlan,
    check: Check,
    test: TestSide | None,
    splits: Mapping[int, Split],
    cache: Cache,
) -> NearFindings:
    """Looks for near copies between training and validation or test images, and for near copies in two classes.

    The inner part of a fold counts as training images, because it steers the training. For the test images, all other
    images count as training images, because the model to use is trained on them. Images with equal pixels in two
    splits are leaks, which `find_leaks` reports: they are not reported here.

    The time grows with the square of the number of images. So above `MOST_COMPARED` images, only the hold-out and the
    test are compared with the training images, and a warning says that the folds are not. The result is kept in the
    cache, unless the experiment does not use it.

    Args:
        experiment: The experiment with these images.
        data: Its training images and hold-out.
        check: The check of the images of `data`.
        test: Its test images; None if there are none.
        splits: Its folds. If empty, warns of near copies that folds may separate.
        cache: The cache for the result.
    """
    show = f"{check_command(experiment)} shows them"
    count, images = len(data.images), data.images
    checks = [check] if test is None else [check, test.check]
    total = sum(len(each.hashes) for each in checks)
    is_whole = total <= MOST_COMPARED
    trained_on = count if data.split is None else len(data.split.train)
    notes: list[str] = []
    if not is_whole and data.split is None:
        notes.append(
            f"folds are not checked for near copies, because there are more than {MOST_COMPARED:,} images; "
            f"{check_command(experiment)} checks them"
        )
        if test is None:
            return NearFindings((), tuple(notes))
    copies = search(checks, cache if experiment.cache else None, None if is_whole else trained_on)
    names = [*images.paths, *(() if test is None else (str(test.images.file(path)) for path in test.images.paths))]
    labels = [*images.labels, *(() if test is None else test.images.labels)]
    notes[:0] = _contradictions(copies, names, labels, show)
    notes += copies_left_out(copies)

    if test is not None:
        partners = across(copies, range(count, total), range(count))
        if partners:
            whole = [*map(str, images.files()), *names[count:]]
            notes.append(
                f"{near_text(len(partners), total - count, 'test images', 'among the training images')}, so the test "
                f"accuracy may be too good: {example(partners, whole)}; {show}"
            )
    if data.split is not None:
        splits = splits or {1: data.split}
    if not splits:
        return NearFindings((), (*notes, *_separable(copies, names[:count], show)))
    partners = _between_sides(copies, splits)
    if partners:
        judged = len({i for split in splits.values() for i in split.valid})
        place = "among the training images" if data.split is not None else "in the training set of their fold"
        has_many = len(partners) > SERIES * judged and data.split is None and experiment.groups is None
        series = f"; put the images of one video or series in one group ({GROUPS})"
        notes.append(
            f"{near_text(len(partners), judged, 'validation images', place)}, so the accuracy may be too good, and is "
            f"also given without them: {example(partners, names)}; {show}{series if has_many else ''}"
        )
    return NearFindings(tuple(partners), tuple(notes))


def search(checks: Sequence[Check], cache: Cache | None, across: int | None = None) -> Copies:
    """Calls `find_copies` on the images of all `checks`, with a progress bar on a terminal."""
    with bar_of(STEPS, "looking for near copies", "%") as bar:
        return find_copies(checks, bar.update, cache, across)


def copies_left_out(copies: Copies) -> list[str]:
    """A warning if there were too many similar images to compare all of them."""
    if not copies.is_cut:
        return []
    return ["too many similar images to compare all of them: there may be more near copies than those found"]


def across(copies: Copies, judged: Collection[int], trained_on: Collection[int]) -> Partners:
    """The images of `judged` with a near copy in `trained_on`, without those that have an exact copy there."""
    partners = copies.partners_across(judged, trained_on)
    if not partners:
        return {}
    leaked = {int(copies.first[i]) for i in trained_on}
    return {i: partner for i, partner in partners.items() if int(copies.first[i]) not in leaked}


def near_text(count: int, n: int, what: str, where: str) -> str:
    """Such as "1 of 35 test images has a near copy among the training images"."""
    return f"{count} of {n} {what} {'has' if count == 1 else 'have'} a near copy {where}"


def example(partners: Partners, names: Sequence[str]) -> str:
    """The names of the first image and its near copy, and how the copy was changed."""
    image, (other, pair) = next(iter(partners.items()))
    turn = f", {pair.turn}" if pair.turn else ""
    has_more = bool(partners.keys() - {image, other})
    return f"{names[image]} ({names[other]}{turn}){', ...' if has_more else ''}"


def check_command(experiment: Experiment) -> str:
    """The command that shows everything found in the images of an experiment."""
    if experiment.name and experiment.origin("data") != "command line":
        with contextlib.suppress(ExperimentError):
            find(experiment.name)
            return f"harness data check {experiment.name}"
    return f"harness data check {quote(str(Path(experiment.data)))}"


def _between_sides(copies: Copies, splits: Mapping[int, Split]) -> Partners:
    """The validation images of all folds with a near copy in the training set of the same fold."""
    having = {i for pair in copies.near for first in (pair.first, pair.second) for i in copies.members[first]}
    partners: Partners = {}
    for split in {split.valid: split for split in splits.values()}.values():  # repeats have the same folds
        judged = having.intersection(split.valid)
        if judged:
            partners |= across(copies, judged, split.training_side)
    return dict(sorted(partners.items()))


def _contradictions(copies: Copies, names: Sequence[str], labels: Sequence[int], show: str) -> list[str]:
    pairs = [pair for pair in copies.near if labels[pair.first] != labels[pair.second]]
    if not pairs:
        return []
    counted = "1 pair of near copies is" if len(pairs) == 1 else f"{len(pairs)} pairs of near copies are"
    return [
        f"CONTRADICTION: {counted} in two classes, so one of their labels is probably wrong: "
        f"{names[pairs[0].first]} and {names[pairs[0].second]}{', ...' if len(pairs) > 1 else ''}; {show}"
    ]


def _separable(copies: Copies, names: Sequence[str], show: str) -> list[str]:
    """A warning about images that are near copies of each other, which folds may separate."""
    places = range(len(names))
    partners = copies.partners_across(places, places)
    if not partners:
        return []
    return [
        f"{len(partners)} of {len(names)} images are near copies of each other, and may be put in different folds: "
        f"{example(partners, names)}; {show}"
    ]
