"""Collects the images of all splits of a data set in one listing, and reads each of them once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.cache.store import Cache, open_cache
from harness.config.experiment import Experiment
from harness.data.check import Check, check_images
from harness.data.groups import group_names, numbered
from harness.data.images import Images, Side, joined
from harness.data.near_copies import LEAST_SIDE
from harness.data.prepare import preparation_of
from harness.data.splits import stratified_splits
from harness.errors import DataError, HarnessError, UsageError
from harness.runs.data_check_record import CheckedImage
from harness.training.inputs import with_wanted
from harness.util.console import print_line
from harness.workflows.plan_data import DataPlan, listed, plan_data


@dataclass(frozen=True)
class Gathered:
    """The N images of all splits.

    Attributes:
        experiment: `valid_data`, `test_data` and `folds` are filled in from the layout of the images.
        images: All images, training images first. Includes those that cannot be decoded.
        sides: (N,) the split of each image.
        check: Of all images.
        groups: (N,) name of each image's group; None for an image that is independent of all others.
        folds: (N,) the fold in which each training image is held out; -1 for other images.
        names: Paths of the training and validation images, which come first, as in a run on these images.
        digest: Of these images, as a run records it.
        cache: None if the experiment does not use the cache.
        notes: Printed lines about decisions, and about checks that are left out.
        unchecked: Why the test images are not included, although the experiment names them.
    """

    experiment: Experiment
    images: Images
    sides: tuple[Side, ...]
    check: Check
    groups: tuple[str | None, ...]
    folds: NDArray[np.int64]
    names: tuple[str, ...]
    digest: str
    cache: Cache | None
    notes: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def judged(self) -> int:
        """Number of training and validation images."""
        return len(self.names)

    @property
    def sound(self) -> list[int]:
        """Positions of the images that can be decoded."""
        return [i for i, path in enumerate(self.images.paths) if path not in self.check.problems]

    def image(self, index: int) -> CheckedImage:
        """The image at that position, for the record."""
        images = self.images
        label = images.classes[images.labels[index]]
        return CheckedImage(images.paths[index], self.sides[index].value, label, self.check.hashes[index] or None)

    def of_side(self, side: Side) -> list[int]:
        """Positions of the images of a split."""
        return [i for i, each in enumerate(self.sides) if each is side]

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> class -> number of images, of the splits that have images."""
        return {side.value: self.images.take(places).counts() for side in Side if (places := self.of_side(side))}


def gather(experiment: Experiment) -> Gathered:
    """Lists and reads the training, validation and test images. Raises DataError or UsageError."""
    data = plan_data(with_wanted(experiment))
    experiment, images = data.experiment, data.images
    hold_out = set() if data.split is None else set(data.split.valid)
    sides = [Side.VALID if i in hold_out else Side.TRAIN for i in range(len(images))]
    groups, judged, notes = data.groups, len(images), list(data.notes)
    test, test_notes, unchecked = _test(experiment, images)
    notes += [*test_notes, *unchecked]
    if test is not None:
        sides += [Side.TEST] * len(test)
        groups += _groups(experiment, test)
        images = joined(images, test)
    cache = open_cache(print_line) if experiment.cache else None
    check = check_images(images, preparation_of(experiment), cache)
    if check.pixels is not None and check.pixels.preparation.value_range is not None:
        experiment = experiment.found({"value_range": check.pixels.preparation.value_range})
    digest = _digest(data, images, check, judged)
    folds, fold_notes = _folds(data, check, groups, judged)
    small = int((check.sizes[: len(images)].min(1) < LEAST_SIDE).sum() - len(check.problems)) if len(images) else 0
    if small > 0:
        fold_notes.append(f"not checked: near copies among {small} images with a side below {LEAST_SIDE} pixels")
    return Gathered(
        experiment,
        images,
        tuple(sides),
        check,
        groups,
        folds,
        data.images.paths,
        digest,
        cache,
        (*notes, *fold_notes),
        tuple(unchecked),
    )


def _test(experiment: Experiment, images: Images) -> tuple[Images | None, list[str], list[str]]:
    """Returns the test images, notes, and why test images that the experiment names are left out."""
    if experiment.test_data is None:
        return None, [], []
    if experiment.tests_other_data:
        return (
            None,
            [f"test_data={experiment.test_data} is not checked: it may belong to other images than those given"],
            [],
        )
    try:
        return listed(experiment, experiment.test_data, Side.TEST, images.classes), [], []
    except DataError as error:
        return None, [], [f"the test images are not checked: {error.what}; {error.why}"]


def _groups(experiment: Experiment, images: Images) -> tuple[str | None, ...]:
    try:
        return tuple(group_names(images, experiment.groups, inner=experiment.class_folder == "inner"))
    except DataError:
        return (None,) * len(images)


def _digest(data: DataPlan, images: Images, check: Check, judged: int) -> str:
    """The digest that a run on these images records. Excludes images that cannot be decoded."""
    sound = [i for i, path in enumerate(images.paths[:judged]) if path not in check.problems]
    hashes = tuple(check.hashes[i] for i in sound)
    own = data.images.take(sound)
    return Check(hashes, check.fingerprints[sound], {}, check.sizes[sound], check.sketches[sound]).digest(own)


def _folds(
    data: DataPlan, check: Check, groups: Sequence[str | None], judged: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Returns the (N,) fold in which each image is held out, as a run would split them, and notes."""
    experiment = data.experiment
    folds = np.full(len(check.hashes), -1, np.int64)
    if data.split is not None or experiment.folds < 2:
        return folds, []
    prints = check.looks()
    sound = [i for i in range(judged) if prints[i] is not None]
    columns = ([groups[i] for i in sound], [prints[i] for i in sound], [check.hashes[i] for i in sound])
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    uneven = any(name is not None for name in data.groups)
    try:
        with warnings.catch_warnings():  # a copy in two classes counts for the first one, so the second may lack images
            warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
            splits = stratified_splits(data.images.take(sound), experiment.folds, seed, numbered(*columns), uneven)
    except (DataError, UsageError) as error:
        return folds, [f"harness run will refuse these images: {error.what}; {error.why}"]
    for number, split in enumerate(splits):
        folds[[sound[i] for i in split.valid]] = number
    return folds, []


def note_of(error: HarnessError) -> str:
    """An error on one line: what, why and what to type."""
    return f"{error.what}: {error.why} ({error.fix})"
