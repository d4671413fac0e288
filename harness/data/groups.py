"""Groups of images that depend on each other: copies, and images of one patient, place or video."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from harness.data.images import Images
from harness.errors import DataError
from harness.util.text import few, see
from harness.util.user_code import calling

Groups = NDArray[np.int64]
FOLDER = "folder"


def group_names(images: Images, groups: str | Callable[[str], object] | None, inner: bool = False) -> list[str | None]:
    """Returns the name of the group of each image, (N,); None for an image that is independent of all others.

    Args:
        images: A listing.
        groups: "folder": the folder between the class folder and the image. A regular expression: its first group in
            the path, or its whole match. A function of the path. None: the group column of a table.
        inner: Whether the inner of two levels of folders names the class.

    Raises:
        DataError: The expression does not match a path.
        UserCodeError: The function fails.
    """
    if groups is None:
        return [name or None for name in images.groups or [""] * len(images)]
    if callable(groups):
        with calling("groups", groups):
            named = [groups(path) for path in images.paths]
        return [None if name is None else str(name) for name in named]
    if groups == FOLDER:
        return [
            _folder(path, images.classes[label], inner) for path, label in zip(images.paths, images.labels, strict=True)
        ]
    try:
        matches = [re.search(groups, path) for path in images.paths]
    except re.error as error:
        raise DataError(
            f"groups={groups} is not a regular expression",
            str(error),
            f"-s groups=none, or a regular expression; {see('data')}",
        ) from error
    missing = [path for path, match in zip(images.paths, matches, strict=True) if match is None]
    if missing:
        raise DataError(
            f"groups={groups} finds no group for {len(missing)} images",
            f"it does not match {few(missing, 3)}",
            "a pattern that matches each path below the data folder; -s groups=none, if the images are independent",
        )
    return [match[1 if match.re.groups else 0] for match in matches if match is not None]


def numbered(*keys: Sequence[Hashable | None]) -> Groups | None:
    """Returns the number of the group of each image, (N,); None if all images are independent.

    Args:
        keys: One or more sequences of N keys. Two images are in one group if they have the same key in one of the
            sequences, or if both are in one group with a third image. The key None stands for no group.
    """
    count = len(keys[0])
    parents = list(range(count))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for values in keys:
        first: dict[Hashable, int] = {}
        for i, value in enumerate(values):
            if value is not None:
                one, other = sorted((root(first.setdefault(value, i)), root(i)))
                parents[other] = one
    roots = [root(i) for i in range(count)]
    if len(set(roots)) == count:
        return None
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def sets_of(groups: Groups | None) -> list[tuple[int, ...]]:
    """The images of each group that has more than one, in the order of the listing."""
    if groups is None:
        return []
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    return [tuple(indices) for indices in members.values() if len(indices) > 1]


def number_of(groups: Groups | None, indices: Iterable[int]) -> int:
    """Number of groups that the images at `indices` belong to."""
    indices = list(indices)
    return len(indices) if groups is None else len(np.unique(groups[indices]))


def _folder(path: str, name: str, inner: bool) -> str | None:
    """The folders between the data folder and the image, without the one that names the class."""
    folders = list(PurePosixPath(path).parent.parts)
    place = 1 if inner else 0
    if folders[place : place + 1] == [name]:
        del folders[place]
    return "/".join(folders) or None
