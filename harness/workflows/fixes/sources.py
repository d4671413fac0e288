"""Lists the images that a table of fixes is about, as they are now."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from harness.data.images import Images, Side
from harness.data.listing import list_images, sides_of
from harness.data.table import is_table
from harness.errors import DataError
from harness.util.schema import is_inside
from harness.versioning.tracked import tracking_file
from harness.workflows.fixes.read import Fixes


@dataclass(frozen=True)
class Source:
    """The images of one split.

    Attributes:
        data: The folder or table that names them.
        side: Their split.
        images: The images.
        class_folder: "outer" or "inner" if it had to be set, otherwise None.
    """

    data: Path
    side: Side
    images: Images
    class_folder: str | None = None

    @property
    def is_table(self) -> bool:
        """Whether the labels are in a table."""
        return is_table(self.data)

    def file(self, index: int) -> Path:
        """The file of an image on the disk."""
        return self.images.file(self.images.paths[index])

    @property
    def level(self) -> int:
        """The position of the class folder in a path, from 0."""
        return int(self.class_folder == "inner")


def list_sources(fixes: Fixes, sides: Collection[Side]) -> dict[Side, Source]:
    """Lists the images of those `sides` that the data have.

    Moves may have made a second level of folders, so that the class folder is ambiguous. Then it is the outer one, as
    before the moves.

    Raises DataError as `list_images` does.
    """
    class_folder = fixes.settings.class_folder or None
    for data in {fixes.settings.source(side, fixes.data) for side in sides}:
        if not data.exists() and tracking_file(data) is None:
            why, fix = (
                f"{fixes.path} names it; looked for {data.absolute()}",
                "cd FOLDER, to where the table was written",
            )
            raise DataError(f"{data} does not exist", why, fix)
    try:
        return _listed(fixes, sides, class_folder)
    except DataError:
        if class_folder is None:
            with contextlib.suppress(DataError):
                return _listed(fixes, sides, "outer")
        raise


def list_all(fixes: Fixes, listed: Mapping[Side, Source]) -> list[Source]:
    """Returns `listed`, and the other splits that can be listed."""
    sources = list(listed.values())
    for side in [side for side in Side if side not in listed]:
        with contextlib.suppress(DataError):
            sources += [source for source in list_sources(fixes, {Side.TRAIN, side}).values() if source.side is side]
    return sources


def _listed(fixes: Fixes, sides: Collection[Side], class_folder: str | None) -> dict[Side, Source]:
    sources: dict[Side, Source] = {}
    columns = fixes.settings.columns
    classes: Sequence[str] | None = None
    for side in [side for side in Side if side in sides]:
        data = fixes.settings.source(side, fixes.data)
        is_part = side is not Side.TRAIN and data == Path(fixes.data)
        if is_part and side not in sides_of(data, columns=columns, class_folder=class_folder):
            continue
        images = list_images(data, classes, side, columns=columns, class_folder=class_folder)
        classes = classes or images.classes
        sources[side] = Source(data, side, images, class_folder)
    _require_apart([source for source in sources.values() if not source.is_table])
    return sources


def _require_apart(sources: Sequence[Source]) -> None:
    """Raises DataError if two splits share a folder: removing an image from one would remove it from the other."""
    for one, other in permutations(sources, 2):
        if is_inside(one.images.root / "-", other.images.root):
            raise DataError(
                f"the {one.side} images in {one.data} are also {other.side} images",
                f"{other.data} contains the same folder",
                "set a separate folder for each split in the experiment, then harness data check --write again",
            )


def notes_after(fixes: Fixes, before: Mapping[Side, Source], expected: Mapping[Side, Mapping[str, int]]) -> list[str]:
    """Returns warnings about the data after the changes.

    Raises DataError if the data cannot be listed any more, or have other images per class than `expected`.
    """
    now = list_sources(fixes, before)
    for side, source in now.items():
        counts = source.images.counts()
        if counts != dict(expected[side]):
            raise DataError(
                f"the changes of {fixes.path} did not have the planned effect, and were undone",
                f"{source.data} had {counts} {side} images after them, but {dict(expected[side])} were planned",
                "the same command again, while no other program changes the data",
            )
    ambiguous = [str(source.data) for side, source in now.items() if source.class_folder != before[side].class_folder]
    return [
        f'{data} now has two levels of folders, and each could be the class: set class_folder="outer" in the '
        "experiment, or -s class_folder=outer"
        for data in dict.fromkeys(ambiguous)
    ]
