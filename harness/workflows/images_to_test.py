"""Lists and decodes the images of a test, and compares them with the training images of the model."""

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
from harness.util.text import few, see


@dataclass(frozen=True)
class TestImages:
    """Images that a model is tested on.

    Attributes:
        images: The images that can be decoded.
        check: Of these images.
        groups: (N,) group numbers: images with the same number are not independent. None if all are independent.
        seen: Paths of the images that the model was trained on.
        notes: Warnings, one line each.
    """

    __test__ = False  # pytest must not collect it

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
                f"{few(self.seen)}: the same files or the same pixels, so the accuracy would be too good",
                "--data FOLDER, with images that it was never trained on; or --allow-leak, which is recorded; "
                + see("test"),
            )


def seen_text(seen: tuple[str, ...], count: int) -> str:
    """Such as "the model was trained on 3 of these 35 images"."""
    return f"the model was trained on {'all' if len(seen) == count else len(seen)} of these {count} images"


def images_to_test(model: SavedModel, data: Path | str | None, allow_missing: bool, skip_corrupt: bool) -> TestImages:
    """Returns the images under `data`, by default under the experiment's `test_data`.

    Raises:
        DataError: The images do not have the classes of the model, or cannot be decoded.
        UsageError: Neither `data` nor the experiment names images on this machine.
    """
    named = model.experiment.get("test_data")
    root = data or (named if named and is_on_this_machine(named) else None)
    if not root:
        why = f"test_data={named} is on another machine" if named else "the experiment sets no test_data"
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
        error.fix = (
            "harness run EXPERIMENT -s value_range=LOW,HIGH, whose checkpoint keeps the range; then test that model"
        )
        raise
    notes += _depth_notes(check, preparation)
    if check.problems:
        if not skip_corrupt:
            raise undecodable_error(check, images)
        left_out = unreadable_by_class(images, check.problems)
        notes.append(f"images that cannot be decoded are left out ({left_out}): {few(list(check.problems))}")
        images, check = check.without(images)
        if not len(images):
            raise DataError(f"no image of {images.root} is left", "none of them can be decoded", "--data FOLDER")
        if not allow_missing:
            require_every_class(images)
    absent = [name for name, count in images.counts().items() if not count]
    if absent:
        notes.append(f"no image of {', '.join(absent)}: the test cannot evaluate that class")
    names, group_notes = _groups(model, images)
    groups = numbered(names, check.looks(), check.hashes)
    seen, seen_notes = _seen(model, images, check)
    notes += [*group_notes, *seen_notes]
    if seen:
        notes.insert(0, f"{seen_text(seen, len(images))} (--allow-leak), so the accuracy is too good")
    return TestImages(images, check, groups, seen, notes)


def _depth_notes(check: Check, preparation: Preparation) -> list[str]:
    """A warning if values of the images lie outside the range that the model was trained with."""
    if not check.deep or check.pixels is None or check.pixels.preparation.value_range is None:
        return []
    if preparation.value_range is None:
        low, high = (f"{bound:g}" for bound in check.pixels.preparation.value_range)
        text = f"{check.deep} images have more than 8 bits per channel, and the model was trained on 8-bit images: "
        return [f"{text}{low} becomes black and {high} white, the range of these images"]
    beyond = clipped_text(check.depth, preparation.value_range)
    return [beyond] if beyond else []


def _groups(model: SavedModel, images: Images) -> tuple[list[str | None], list[str]]:
    """Returns each image's group by name, as the experiment sets them, and warnings."""
    groups = model.experiment.get("groups")
    own = is_function(groups)
    if own and images.groups is None:
        why = f"groups is a function of the experiment file ({groups}), which is not run here"
        return [None] * len(images), [f"{why}: each image is its own group"]
    inner = model.experiment.get("class_folder") == "inner"
    try:
        return group_names(images, None if images.groups is not None or own else groups, inner), []
    except DataError as error:
        return [None] * len(images), [f"{error.what}, so each image is its own group: {error.why}"]


def _seen(model: SavedModel, images: Images, check: Check) -> tuple[tuple[str, ...], list[str]]:
    """Returns the paths of the images that the model was trained on, and warnings."""
    if model.trained_on is not None:
        looks = check.fingerprints.tolist()
        return tuple(path for path, look in zip(images.paths, looks, strict=True) if look in model.trained_on), []
    if model.data_digest is not None and check.digest(images) == model.data_digest:
        return images.paths, []
    training = images_at_hand(model, "data")
    if training is None:
        return (), ["the checkpoint does not say which images it was trained on: these may contain some of them"]
    known = set(check_images(training, cache=cache_of(model)).fingerprints.tolist())
    return tuple(p for p, look in zip(images.paths, check.fingerprints.tolist(), strict=True) if look in known), []


def cache_of(model: SavedModel) -> Cache | None:
    """The cache; None if the model's experiment does not use it."""
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
