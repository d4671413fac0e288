"""Finds leaks: images that are both in the training set and in the hold-out or test set. They make scores too good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cache.store import Cache
from harness.config.experiment import Experiment
from harness.data.check import Check, check_images
from harness.data.groups import group_names
from harness.data.images import Images, Side
from harness.errors import DataError
from harness.util.text import few, see
from harness.workflows.plan_data import DataPlan, listed

ALLOWED = "also in the training set, as copies or in the same groups (--allow-leak), so the accuracy is too good"


@dataclass(frozen=True)
class TestSide:
    """The test images of an experiment, and their check."""

    __test__ = False  # no class of tests

    images: Images
    check: Check


@dataclass(frozen=True)
class Leaks:
    """Attributes:
    valid: Number of images of a separate hold-out that are also in the training set.
    error: The error to raise if leaks are not allowed; None if there are none.
    notes: Warnings about leaks that are allowed, and about test images, one line each.
    test: The test images; None if there are none, or if a test would refuse them.
    """

    valid: int
    error: DataError | None
    notes: tuple[str, ...]
    test: TestSide | None = None

    def require_none(self, allow: bool) -> None:
        """Raises DataError if there are any, unless they are allowed."""
        if self.error is not None and not allow:
            raise self.error


def find_leaks(experiment: Experiment, data: DataPlan, check: Check, cache: Cache) -> Leaks:
    """Looks for images of the hold-out and of the test among the training images: equal bytes, pixels or groups."""
    notes: list[str] = []
    errors: list[DataError] = []
    valid: list[str] = []
    keys = _keys(check, data.groups)
    if data.split is not None:
        trained_on = set().union(*(keys[i] for i in data.split.train))
        valid = [data.images.paths[i] for i in data.split.valid if keys[i] & trained_on]
        if valid:
            count = len(data.split.valid)
            errors.append(_error(valid, count, Path(experiment.valid_data or "")))
            notes.append(f"{len(valid)} of {count} validation images {_verb(valid)} {ALLOWED}")
    test, test_notes, leaked = _of_test(experiment, data, cache, set().union(*keys))
    if leaked and test is not None:
        count, root = len(test.images), test.images.root
        errors.append(_error(leaked, count, root))
        notes.append(f"{len(leaked)} of {count} test images in {root} {_verb(leaked)} {ALLOWED}")
    return Leaks(len(valid), errors[0] if errors else None, (*notes, *test_notes), test)


def _of_test(
    experiment: Experiment, data: DataPlan, cache: Cache, known: set[object]
) -> tuple[TestSide | None, list[str], list[str]]:
    """Returns the test images, warnings, and the paths of the test images with a key in `known`."""
    if experiment.test_data is None or experiment.tests_other_data:
        return None, [], []
    try:
        test = listed(experiment, experiment.test_data, Side.TEST, data.images.classes)
        names = group_names(test, experiment.groups, inner=experiment.class_folder == "inner")
    except DataError as error:
        return None, [f"harness test will refuse test_data: {error.what}; {error.why}"], []
    check = check_images(test, cache=cache if experiment.cache else None)
    notes = []
    if check.problems:
        bad = list(check.problems)
        notes.append(f"{len(bad)} test images in {test.root} cannot be decoded: {few(bad, 3)}")
    side = TestSide(test, check)
    return side, notes, [path for path, keys in zip(test.paths, _keys(check, names), strict=True) if keys & known]


def _keys(check: Check, groups: Sequence[str | None]) -> list[set[object]]:
    """(N,) keys of each image: MD5, fingerprint and group. Images that share a key are not independent."""
    columns = zip(check.hashes, check.looks(), groups, strict=True)
    return [{key for key in (md5, look, ("group", group) if group else None) if key} for md5, look, group in columns]


def _verb(paths: list[str]) -> str:
    return "is" if len(paths) == 1 else "are"


def _error(paths: list[str], count: int, root: Path) -> DataError:
    return DataError(
        f"{len(paths)} of {count} images in {root} {_verb(paths)} also in the training set",
        f"{few(paths)}: copies of training images, or from the same groups, so the accuracy would be too good",
        f"remove them from one of the two folders; or --allow-leak, which is recorded; {see('data')}",
    )
