"""The images of a test: listed, decoded, and compared with those that the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.cache.store import Cache, open_cache
from harness.config.experiment_file import is_function
from harness.data.check import Check, check_images, undecodable_error, unreadable_by_class
from harness.data.depth import clipped_text
from harness.data.folders import require_every_class
from harness.data.groups import Groups, group_names, numbered
from harness.data.images import Images, Side
from harness.data.listing import list_images
from harness.data.prepare import Preparation
from harness.errors import DataError, HarnessError, UsageError
from harness.models.saved import SavedModel
from harness.util.console import print_line
from harness.util.schema import is_on_this_machine
from harness.util.text import few


@dataclass(frozen=True)
class TestImages:
    """Images that a model is tested on.

    Attributes:
        images: Those that can be decoded.
        check: Of these images.
        groups: (N,) images with the same number are not independent; None if all are.
        seen: Paths of those that the model was trained on.
        notes: For the report.
    """

    __test__ = False  # no class of tests

    images: Images
    check: Check
    groups: Groups | None
    seen: tuple[str, ...]
    notes: list[str]

    def require_unseen(self, allow: bool) -> None:
        """Raises DataError if the model was trained on any of the images, unless that is allowed."""
        if self.seen and not allow:
            raise DataError(
                seen_text(self.seen, len(self.images)),
                f"{few(self.seen)}: the same files or the same pixels, so the numbers would be too good",
                "--data with images that it was never trained on; or --allow-leak, which is recorded",
            )


def seen_text(seen: tuple[str, ...], count: int) -> str:
    """How many of `count` images a model was trained on, for people."""
    return f"the model was trained on {'all' if len(seen) == count else len(seen)} of these {count} images"


def images_to_test(model: SavedModel, data: Path | str | None, allow_missing: bool, skip_corrupt: bool) -> TestImages:
    """The images under `data`, by default of the experiment's `test_data`.

    Raises DataError if they are not what the model knows, UsageError if nothing names images.
    """
    named = model.experiment.get("test_data")
    root = data or (named if named and is_on_this_machine(named) else None)
    if not root:
        why = f"the experiment names {named}, on another machine" if named else "the experiment names no test_data"
        raise UsageError("there are no images to test on", why, "--data FOLDER")
    columns, class_folder = model.experiment.get("columns", ()), model.experiment.get("class_folder")
    try:
        images = list_images(root, model.classes, Side.TEST, columns=columns, class_folder=class_folder)
    except DataError:
        if class_folder is None:
            raise
        images = list_images(root, model.classes, Side.TEST, columns=columns)  # only the training images had two levels
    notes = [*([model.note] if model.note else []), *images.notes]
    if not allow_missing:
        require_every_class(images)
    preparation = model.transform.preparation
    try:
        check = check_images(images, preparation)
    except DataError as error:
        error.fix = "a model that was trained with -s value_range=LOW,HIGH, which its checkpoint keeps"
        raise
    notes += _depth_notes(check, preparation)
    if check.problems:
        if not skip_corrupt:
            raise undecodable_error(check, images)
        left_out = unreadable_by_class(images, check.problems)
        notes.append(f"images that cannot be decoded are left out: {left_out}: {few(list(check.problems))}")
        images, check = check.without(images)
        if not len(images):
            raise DataError(f"no image of {images.root} is left", "none of them can be decoded", "--data FOLDER")
        if not allow_missing:
            require_every_class(images)
    absent = [name for name, count in images.counts().items() if not count]
    if absent:
        notes.append(f"no image of {', '.join(absent)}: the numbers say nothing of that")
    names, group_notes = _groups(model, images)
    groups = numbered(names, check.looks(), check.hashes)
    seen, seen_notes = _seen(model, images, check)
    notes += [*group_notes, *seen_notes]
    if seen:
        notes.insert(0, f"{seen_text(seen, len(images))} (--allow-leak): the numbers are too good")
    return TestImages(images, check, groups, seen, notes)


def _depth_notes(check: Check, preparation: Preparation) -> list[str]:
    """What does not fit the range of values that the model was trained with."""
    if not check.deep or check.pixels is None or check.pixels.preparation.value_range is None:
        return []
    if preparation.value_range is None:
        low, high = (f"{bound:g}" for bound in check.pixels.preparation.value_range)
        text = f"{check.deep} images have more than 8 bits, and the model was trained on 8: "
        return [f"{text}{low} becomes black and {high} white, as found in these images"]
    beyond = clipped_text(check.depth, preparation.value_range)
    return [beyond] if beyond else []


def _groups(model: SavedModel, images: Images) -> tuple[list[str | None], list[str]]:
    """(group of each image by name, notes), as the experiment says."""
    groups = model.experiment.get("groups")
    own = is_function(groups)
    if own and images.groups is None:
        note = f"groups is a function of the experiment's file ({groups}), which is not run here: each image counts"
        return [None] * len(images), [note]
    inner = model.experiment.get("class_folder") == "inner"
    try:
        return group_names(images, None if images.groups is not None or own else groups, inner), []
    except DataError as error:
        return [None] * len(images), [f"{error.what}, so each image counts: {error.why}"]


def _seen(model: SavedModel, images: Images, check: Check) -> tuple[tuple[str, ...], list[str]]:
    """(paths of the images that the model was trained on, notes)."""
    if model.trained_on is not None:
        looks = check.fingerprints.tolist()
        return tuple(path for path, look in zip(images.paths, looks, strict=True) if look in model.trained_on), []
    if model.data_digest is not None and check.digest(images) == model.data_digest:
        return images.paths, []
    training = images_at_hand(model, "data")
    if training is None:
        return (), ["the checkpoint does not say which images it was trained on: look out for copies among these"]
    known = set(check_images(training, cache=cache_of(model)).fingerprints.tolist())
    return tuple(p for p, look in zip(images.paths, check.fingerprints.tolist(), strict=True) if look in known), []


def cache_of(model: SavedModel) -> Cache | None:
    """The cache; None if the model's experiment uses none."""
    return open_cache(print_line) if model.experiment.get("cache", True) else None


def images_at_hand(model: SavedModel, field: str) -> Images | None:
    """The images that `data` or `valid_data` of the model's experiment names; None if they are not on this machine."""
    named = model.experiment.get(field)
    if not named or not is_on_this_machine(named):
        return None
    columns, class_folder = model.experiment.get("columns", ()), model.experiment.get("class_folder")
    side = Side.VALID if field == "valid_data" else Side.TRAIN
    try:
        return list_images(named, model.classes, side, columns=columns, class_folder=class_folder)
    except HarnessError:
        return None
