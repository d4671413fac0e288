"""Suggests `groups` from the names of folders and files, so that dependent images are in one fold."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass

from harness.data.groups import FOLDER, Groups, group_names, numbered
from harness.data.images import Images
from harness.data.splits import stratified_splits
from harness.errors import DataError

FOLDS = 5
WORDS = (  # words that stand before the number of a subject, as in patient12
    *("patient", "subject", "case", "person", "animal", "specimen", "slide", "plate", "well"),
    *("video", "clip", "scene", "sequence", "burst", "session", "site", "camera", "plot", "tree"),
)
BEFORE_LAST = r"([^/]*\d[^/]*)[-_. ]+[^-_. /]*\d[^-_. /]*\.[^./]+$"  # patient12_03.png, IMG_20260101_120000.jpg


@dataclass(frozen=True)
class Grouping:
    """A value of `groups` that the names suggest.

    Attributes:
        value: "folder" or a regular expression.
        evidence: What suggests it, as a text to print.
        folds: The largest number of folds, up to FOLDS, that is possible with these groups.
    """

    value: str
    evidence: str
    folds: int


def suggested_grouping(images: Images, inner: bool = False) -> Grouping | None:
    """Returns the grouping that the names of folders and files suggest; None if they suggest none.

    A suggestion finds a group for every image, and leaves enough groups of each class for two folds.
    """
    for value in (FOLDER, *_numbered_words(images.paths[0]), BEFORE_LAST):
        if value != FOLDER and not all(re.search(value, path) for path in images.paths):
            continue
        names = group_names(images, value, inner=inner)
        distinct = Counter(names)
        if None in distinct or len(distinct) < 2 or 2 * len(distinct) > len(names):
            continue
        folds = _folds_of_groups(images, numbered(names))
        if not folds:
            continue
        first = next(path for path, name in zip(images.paths, names, strict=True) if distinct[name] > 1)
        where = "folders between class and image" if value == FOLDER else "groups, by their names"
        of_first = names[images.paths.index(first)]
        return Grouping(
            value, f"{len(names)} images are in {len(distinct)} {where}: {first!r} is in group {of_first!r}", folds
        )
    return None


def _folds_of_groups(images: Images, groups: Groups | None) -> int:
    """The largest number of folds, up to FOLDS, with training images of every class; 0 if none is possible."""
    for folds in range(FOLDS, 1, -1):
        with contextlib.suppress(DataError, ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            stratified_splits(images, folds, 0, groups, uneven=True)
            return folds
    return 0


def _numbered_words(path: str) -> list[str]:
    """A regular expression for each of WORDS that is in the path with a number after it, as in "Patient_7"."""
    matches = [re.search(rf"(?i)({word})[-_ ]?\d+", path) for word in WORDS]
    return [rf"({match[1]}[-_ ]?\d+)" for match in matches if match is not None]
