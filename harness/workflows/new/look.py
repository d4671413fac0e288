"""Collects facts about a folder or table of images, for `harness new`."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.cache.store import open_cache
from harness.config.experiment import Experiment
from harness.data.check import Check, check_images, undecodable_error, unreadable_by_class
from harness.data.decode import Raw, read
from harness.data.depth import Range, infer_range
from harness.data.groups import Groups, number_of, numbered
from harness.data.images import Images, Side
from harness.data.layout import side_of
from harness.data.listing import sides_of
from harness.data.splits import require_learnable, stratified_splits
from harness.data.table import is_table
from harness.errors import DataError
from harness.evaluation.sampling import spread_evenly
from harness.util.console import print_line
from harness.util.parallel import in_threads
from harness.workflows.find_leaks import find_leaks
from harness.workflows.near_copies import find_near
from harness.workflows.new.groups import FOLDS, Grouping, suggested_grouping
from harness.workflows.plan_data import DataPlan, listed, plan_data

SAMPLE = 200  # number of images whose size and colours are read, spread evenly over the listing
MANY, VERY_MANY = 5_000, 50_000  # above these numbers of images, three folds and one hold-out are precise enough


@dataclass(frozen=True)
class Facts:
    """Facts about the images of an experiment.

    Attributes:
        experiment: Its fields `data`, `valid_data` and `test_data`, as typed or as the layout gives them.
        counts: Class -> number of training images that can be decoded.
        valid: Number of images of a separate hold-out.
        test: Number of test images.
        folds: Number of folds that the images can be split into; 0 for one hold-out.
        rarest: The class with the fewest independent images, and their number.
        copies: Number of images that are copies of others.
        in_two_classes: Number of images that are in two classes.
        unreadable: Which images cannot be decoded, by class, as a text to print; empty if there are none.
        leak: Why a run would refuse these images; empty if none is in two splits.
        sizes: (height, width) of a sample of the images, in pixels.
        grey: Whether all images of the sample are grey.
        value_range: Of files with more than 8 bits per channel; None if there are none.
        grouping: The groups that names suggest, if any.
        has_groups: Whether a table or the command line sets the groups.
        notes: Warnings, one line each.
    """

    experiment: Experiment
    counts: dict[str, int]
    valid: int
    test: int
    folds: int
    rarest: tuple[str, int]
    copies: int
    in_two_classes: int
    unreadable: str
    leak: str
    sizes: tuple[tuple[int, int], ...]
    grey: bool
    value_range: Range | None
    grouping: Grouping | None
    has_groups: bool
    notes: tuple[str, ...]

    @property
    def images(self) -> int:
        """Number of training images."""
        return sum(self.counts.values())

    @property
    def guessing(self) -> float:
        """The accuracy of always predicting the most frequent class."""
        return max(self.counts.values()) / self.images


def look(experiment: Experiment) -> Facts:
    """Lists, reads and decodes all images of an experiment, as a run does before its first epoch.

    Raises:
        DataError: The images cannot be used: there are no classes, a class has one image, or none can be decoded.
    """
    cache = open_cache(print_line)
    data = plan_data(_with_neighbours(experiment))
    everything, check = data.images, check_images(data.images, cache=cache)
    if len(check.problems) == len(everything):
        raise undecodable_error(check, everything)
    unreadable = unreadable_by_class(everything, check.problems)
    if check.problems:
        data, check = data.without(check)
    value_range = data.experiment.value_range
    if check.deep and value_range is None:
        value_range = infer_range(check.depth)
    groups = numbered(data.groups, check.looks(), check.hashes)
    training = _training(data)
    own = None if groups is None else groups[training]
    images = data.images.take(training)
    folds = _folds(data, groups)
    sizes, grey = _sample(images)
    copies, in_two_classes = _copies(data.images, check)
    test = _test_images(data)
    leaks = find_leaks(data.experiment, data, check, cache)
    near = find_near(data.experiment, data, check, leaks.test, {}, cache)
    has_groups = any(name is not None for name in data.groups)
    return Facts(
        experiment=data.experiment,
        counts=images.counts(),
        valid=len(data.images) - len(images),
        test=test,
        folds=folds,
        rarest=_rarest(images, own),
        copies=copies,
        in_two_classes=in_two_classes,
        unreadable=unreadable,
        leak="" if leaks.error is None else f"{leaks.error.what}: {leaks.error.why}",
        sizes=sizes,
        grey=grey,
        value_range=value_range,
        grouping=None if has_groups else suggested_grouping(images, data.experiment.class_folder == "inner"),
        has_groups=has_groups,
        notes=(*data.notes, *(() if leaks.error is not None else leaks.notes), *near.notes),
    )


def _with_neighbours(experiment: Experiment) -> Experiment:
    """If `data` is `photos/train`, uses `photos/val` and `photos/test` beside it for validation and test."""
    data = Path(experiment.data)
    if is_table(data) or side_of(data.name)[0] is not Side.TRAIN or not data.is_dir():
        return experiment
    sides: dict[Side, str] = {}
    with contextlib.suppress(DataError):  # then the parent folder is not a data set
        sides = sides_of(data.parent, class_folder=experiment.class_folder)
    if Side.TRAIN not in sides or Path(sides[Side.TRAIN]).resolve() != data.resolve():
        return experiment
    found = {f"{side}_data": sides[side] for side in (Side.VALID, Side.TEST) if side in sides}
    found = {name: value for name, value in found.items() if experiment.origin(name) == "default"}
    if "valid_data" in found and experiment.origin("folds") == "default":
        return experiment.found({**found, "folds": 0})
    found.pop("valid_data", None)
    return experiment.found(found)


def _training(data: DataPlan) -> list[int]:
    return [*range(len(data.images))] if data.split is None else [*data.split.train]


def _folds(data: DataPlan, groups: Groups | None) -> int:
    """The number of folds: as typed, or the largest with every class in each fold. Raises DataError if none fits."""
    if data.split is not None:
        require_learnable(data.images, data.split)
        return 0
    uneven = any(name is not None for name in data.groups)
    typed = data.experiment.origin("folds") == "command line"
    count = len(data.images)
    most = data.experiment.folds if typed else 0 if count > VERY_MANY else 3 if count > MANY else FOLDS
    for folds in range(most, 1, -1) if not typed else ():
        with contextlib.suppress(DataError, UserWarning), warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # scikit-learn warns of a class that is not in every fold
            stratified_splits(data.images, folds, data.experiment.seed, groups, uneven)
            return folds
    stratified_splits(data.images, min(most, 2) if not typed else most, data.experiment.seed, groups, uneven)
    return most


def _rarest(images: Images, groups: Groups | None) -> tuple[str, int]:
    labels = np.asarray(images.labels)
    counted = {
        name: number_of(groups, np.flatnonzero(labels == label).tolist()) for label, name in enumerate(images.classes)
    }
    name = min(counted, key=lambda each: counted[each])
    return name, counted[name]


def _copies(images: Images, check: Check) -> tuple[int, int]:
    """Returns the number of images that are copies of others, and the number of images in two classes."""
    sets = numbered(check.hashes, check.looks())
    if sets is None:
        return 0, 0
    kinds = np.unique(np.stack([sets, np.asarray(images.labels)]), axis=1)[0]
    return len(sets) - len(np.unique(sets)), int((np.bincount(kinds) > 1).sum())


def _test_images(data: DataPlan) -> int:
    if data.experiment.test_data is None:
        return 0
    return len(listed(data.experiment, data.experiment.test_data, Side.TEST, data.images.classes))


def _sample(images: Images) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Returns (height, width) of a sample of images, and whether all of these are grey."""
    places = spread_evenly(len(images), SAMPLE).tolist()
    sizes = [each for each in in_threads(_size, [images.file(images.paths[i]) for i in places]) if each is not None]
    return tuple((height, width) for height, width, _ in sizes), bool(sizes) and all(grey for _, _, grey in sizes)


def _size(file: Path) -> tuple[int, int, bool] | None:
    """(height, width, whether it is grey) of one image; None if it was removed after its check."""
    try:
        raw = read(file.read_bytes())
    except Exception:  # Pillow's decoders raise many types
        return None
    if raw.image is not None:
        width, height = raw.image.size
        return height, width, _is_grey(raw)
    assert raw.values is not None
    return raw.values.shape[0], raw.values.shape[1], _is_grey(raw)


def _is_grey(raw: Raw) -> bool:
    if raw.image is None:
        colours = raw.colours
        return colours.ndim == 2 or colours.shape[2] == 1
    if raw.image.mode in ("1", "L", "LA"):
        return True
    colours = np.asarray(raw.image.convert("RGB"))
    return bool((colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all())
