"""Tests of the groups that names of folders and files suggest."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.images import Images
from harness.workflows.new.groups import suggested_grouping


def listing(*paths: str) -> Images:
    """A listing without files; the first folder is the class."""
    classes = tuple(sorted({path.split("/")[0] for path in paths}))
    return Images(Path(), classes, paths, tuple(classes.index(path.split("/")[0]) for path in paths))


@pytest.mark.parametrize(
    ("paths", "value"),
    [
        ([f"{c}/{c}{i:02d}.jpg" for c in ("cat", "dog") for i in range(9)], None),  # a number for each image
        ([f"{c}/IMG_{i:04d}.jpg" for c in ("cat", "dog") for i in range(9)], None),
        ([f"{c}/Patient-{p}/{c}{i}.jpg" for c in ("cat", "dog") for p in range(3) for i in range(3)], "folder"),
        (
            [f"{c}/Patient-{p}{c}_{i}.jpg" for c in ("cat", "dog") for p in range(3) for i in range(3)],
            r"(Patient[-_ ]?\d+)",
        ),
        (
            [f"{c}/IMG_2026010{p}_12000{i}.jpg" for c in ("cat", "dog") for p in range(3) for i in range(3)],
            r"([^/]*\d[^/]*)[-_. ]+[^-_. /]*\d[^-_. /]*\.[^./]+$",
        ),
        ([f"{c}/{c}{p}x/{i}.jpg" for c in ("cat", "dog") for p in range(1) for i in range(3)], None),  # as the classes
    ],
)
def test_suggested_grouping_finds_groups_in_names(paths: list[str], value: str | None) -> None:
    found = suggested_grouping(listing(*sorted(paths)))
    assert (found.value if found else None) == value
    if found is not None:
        assert f"{len(paths)} images are in " in found.evidence
        assert found.folds == 3
