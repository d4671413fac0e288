"""Decides which images are for training, for the hold-out and for the test, before any image is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.config.experiment import FOUND, Experiment
from harness.data.check import Check
from harness.data.groups import FOLDER, group_names
from harness.data.images import Images, Side, joined
from harness.data.listing import list_images, sides_of
from harness.data.splits import Split
from harness.errors import UsageError

RANKS = ("default", FOUND, "experiment file", "command line")  # of the origins of a field: a later one overrides


@dataclass(frozen=True)
class DataPlan:
    """The images of an experiment.

    Attributes:
        experiment: `valid_data`, `test_data` and `folds` are filled in from the layout of the images.
        images: Training images, and those of the hold-out if it has separate images.
        training: Listing of the training images only.
        split: The hold-out, if it has separate images.
        groups: (N,) name of each image's group; None for an image that is independent of all others.
        notes: Printed lines about what was decided.
    """

    experiment: Experiment
    images: Images
    training: Images
    split: Split | None
    groups: tuple[str | None, ...]
    notes: tuple[str, ...]

    def without(self, check: Check) -> tuple[DataPlan, Check]:
        """Returns the plan without the images that cannot be decoded, and the check of the other images."""
        images, rest = check.without(self.images)
        decodes = [path not in check.problems for path in self.images.paths]
        groups = tuple(name for name, is_left in zip(self.groups, decodes, strict=True) if is_left)
        split = self.split
        if split is not None:
            places = {old: new for new, old in enumerate(i for i, is_left in enumerate(decodes) if is_left)}
            split = Split(*(tuple(places[i] for i in side if decodes[i]) for side in (split.train, split.valid)))
        return replace(self, images=images, groups=groups, split=split), rest


def plan_data(experiment: Experiment) -> DataPlan:
    """Lists the images of an experiment. Raises DataError or UsageError."""
    sides = _sides(experiment)
    experiment = _with_sides(experiment, sides)
    training = listed(experiment, experiment.data, Side.TRAIN)
    names = _names(experiment, training)
    notes = (*training.notes, *_notes(experiment, sides), *_group_notes(experiment, names))
    if experiment.valid_data is None:
        return DataPlan(experiment, training, training, None, names, notes)
    validation = listed(experiment, experiment.valid_data, Side.VALID, training.classes)
    first, images = len(training), joined(training, validation)
    split = Split(tuple(range(first)), tuple(range(first, len(images))))
    return DataPlan(experiment, images, training, split, names + _names(experiment, validation), notes)


def with_sides(experiment: Experiment) -> Experiment:
    """Returns the experiment with `valid_data`, `test_data` and `folds` filled in from the layout of its images.

    Raises DataError or UsageError.
    """
    return _with_sides(experiment, _sides(experiment))


def listed(experiment: Experiment, data: str, side: Side, classes: Sequence[str] | None = None) -> Images:
    """Lists the images of one split of an experiment. Raises DataError."""
    return list_images(data, classes, side, columns=experiment.columns, class_folder=experiment.class_folder)


def _names(experiment: Experiment, images: Images) -> tuple[str | None, ...]:
    return tuple(group_names(images, experiment.groups, inner=experiment.class_folder == "inner"))


def _sides(experiment: Experiment) -> dict[Side, str]:
    return sides_of(experiment.data, columns=experiment.columns, class_folder=experiment.class_folder)


def _with_sides(experiment: Experiment, sides: Mapping[Side, str]) -> Experiment:
    if experiment.origin("data") == "command line" and experiment.origin("valid_data") == "experiment file":
        experiment = experiment.found(
            {"valid_data": None}
        )  # the file's valid_data belongs to the file's data, which the command line replaced
    experiment = _with_one_hold_out(experiment)
    is_open = experiment.valid_data is None and experiment.origin("valid_data") != "command line"
    if Side.VALID in sides and is_open and not _folds_win(experiment):
        experiment = experiment.found({"valid_data": sides[Side.VALID], "folds": 0})
    is_open = experiment.test_data is None or experiment.tests_other_data
    if Side.TEST in sides and is_open and experiment.origin("test_data") != "command line":
        experiment = experiment.found({"test_data": sides[Side.TEST]})
    return experiment


def _with_one_hold_out(experiment: Experiment) -> Experiment:
    """Removes the folds or `valid_data`, whichever was set earlier: an experiment has only one of them."""
    if experiment.valid_data is None or experiment.folds == 0:
        return experiment
    images, folds = _rank(experiment, "valid_data"), _rank(experiment, "folds")
    if images == folds:
        raise UsageError(
            f"valid_data and folds={experiment.folds} contradict each other",
            "a hold-out with separate images is not one of several folds",
            "-s folds=0 for the hold-out, or -s valid_data=none for the folds",
        )
    return experiment.found({"folds": 0} if images > folds else {"valid_data": None})


def _folds_win(experiment: Experiment) -> bool:
    """Whether `folds` was set, and not earlier than `data`."""
    asked = _rank(experiment, "folds")
    return experiment.folds > 0 and asked > 0 and asked >= _rank(experiment, "data")


def _notes(experiment: Experiment, sides: Mapping[Side, str]) -> list[str]:
    """Lines about the validation and test images that the data folder contains."""
    notes = []
    valid, test = sides.get(Side.VALID), sides.get(Side.TEST)
    if valid is not None and experiment.valid_data is None:
        notes.append(
            f"folds={experiment.folds} is set: the training images are cross-validated, and the validation "
            f"images in {valid} are not used (-s folds=0 uses them as the hold-out)"
        )
    elif experiment.valid_data is not None and experiment.origin("folds") == FOUND:
        notes.append(
            f"the hold-out is {experiment.valid_data} (-s folds=5 cross-validates the training images instead)"
        )
    if test is not None and experiment.test_data != test:
        notes.append(f"the test images in {test} are not used: test_data={experiment.test_data}")
    return notes


def _group_notes(experiment: Experiment, names: Sequence[str | None]) -> list[str]:
    if experiment.groups != FOLDER or any(names):
        return []
    return [
        "groups=folder has no effect: no folder lies between a class and its images, so each image is its own group"
    ]


def _rank(experiment: Experiment, field: str) -> int:
    return RANKS.index(experiment.origin(field))
