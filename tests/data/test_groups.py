from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.groups import group_names, number_of, numbered, sets_of
from harness.data.images import Images
from harness.errors import DataError, UserCodeError

PATHS = ("cat/p1/1.jpg", "cat/p2/1.jpg", "dog/p1/a/1.jpg", "dog/1.jpg")
IMAGES = Images(Path(), ("cat", "dog"), PATHS, (0, 0, 1, 1))


def test_group_names_by_folder_are_the_same_in_each_class() -> None:
    assert group_names(IMAGES, "folder") == ["p1", "p2", "p1/a", None]


def test_group_names_by_folder_if_the_inner_folder_is_the_class() -> None:
    images = Images(Path(), ("cat", "dog"), ("siteA/cat/1.jpg", "siteB/cat/1.jpg", "siteA/dog/x/1.jpg"), (0, 0, 1))
    assert group_names(images, "folder", inner=True) == ["siteA", "siteB", "siteA/x"]


def test_group_names_by_pattern() -> None:
    assert group_names(IMAGES, r"^\w+") == ["cat", "cat", "dog", "dog"]
    assert group_names(IMAGES, r"(\d)\.jpg") == ["1", "1", "1", "1"]
    with pytest.raises(DataError, match="finds no group for 1 images") as caught:
        group_names(IMAGES, r"p(\d)")
    assert "dog/1.jpg" in caught.value.why


def test_group_names_by_function() -> None:
    assert group_names(IMAGES, lambda path: len(path) if "p" in path[:5] else None) == ["12", "12", "14", None]
    with pytest.raises(UserCodeError, match=r"groups .* failed"):
        group_names(IMAGES, lambda path: path[99])


def test_group_names_of_a_table() -> None:
    images = Images(Path(), ("cat", "dog"), PATHS, (0, 0, 1, 1), groups=("x", "", "x", "y"))
    assert group_names(images, None) == ["x", None, "x", "y"]


def test_numbered_joins_images_that_depend_on_a_third() -> None:
    groups = numbered(["a", None, "a", None, "b"], [1, 2, 3, 2, 3])
    assert groups is not None
    assert groups.tolist() == [0, 1, 0, 1, 0]
    assert sets_of(groups) == [(0, 2, 4), (1, 3)]
    assert number_of(groups, [0, 1, 2]) == 2


def test_numbered_is_none_if_all_are_independent() -> None:
    assert numbered(["a", "b", None, None], [1, 2, 3, None]) is None
    assert sets_of(None) == []
    assert number_of(None, range(3)) == 3
