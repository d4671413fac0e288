"""Lists images: of a folder, in whatever layout people have it, or of a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.data.folders import list_folder, no_folder
from harness.data.images import Images, Side
from harness.data.layout import Layout, find_layout
from harness.data.table import is_table, list_table, sides_in_table
from harness.errors import DataError


def list_images(
    data: Path | str,
    classes: Sequence[str] | None = None,
    side: Side = Side.TRAIN,
    *,
    columns: Sequence[str] = (),
    class_folder: str | None = None,
) -> Images:
    """Lists the images that `data` has for `side`.

    Args:
        data: A folder with a folder per class; a folder that holds such folders for training, validation and test:
            that of `side` is taken; or a table.
        classes: Classes that a model knows, which folders are matched to by name; None if the folders are the classes.
        side: What the images are for.
        columns: Names of a table's columns, each as "path=filename".
        class_folder: "outer" or "inner" if two levels of folders may name the class.

    Raises:
        DataError: There is no such folder, no class, only one, a class without images, or more than one reading.
    """
    data = Path(data)
    if is_table(data):
        return list_table(data, classes, side, columns)
    layout = layout_of(data, classes or (), class_folder, "-s data=FOLDER" if classes is None else "--data FOLDER")
    if layout.sides and side not in layout.sides:
        held = ", ".join(str(path) for path in layout.sides.values())
        raise DataError(
            f"{data} has no labelled images for {side}",
            f"it is split into {held}",
            f"--data {layout.training} for the training images" if side is Side.TEST else f"{side}_data=FOLDER",
        )
    root = layout.sides.get(side, layout.root)
    with _listing(root):
        return list_folder(root, classes, inner=class_folder == "inner", notes=layout.notes)


def sides_of(data: Path | str, *, columns: Sequence[str] = (), class_folder: str | None = None) -> dict[Side, str]:
    """The sides that `data` has labelled images for, each with what names these images; empty if it is not split.

    Raises DataError as `list_images` does.
    """
    data = Path(data)
    if is_table(data):
        return dict.fromkeys(sides_in_table(data, columns), str(data))
    layout = layout_of(data, (), class_folder, "-s data=FOLDER")
    return {side: str(path) for side, path in layout.sides.items()}


def layout_of(data: Path, known: Sequence[str], class_folder: str | None, option: str) -> Layout:
    """The layout of a folder. Raises DataError, also if there is no such folder; `option` names one."""
    with _listing(data):
        if not data.is_dir():
            raise no_folder(data, option)
        return find_layout(data, known, class_folder)


@contextlib.contextmanager
def _listing(root: Path) -> Iterator[None]:
    """Turns what the system refuses within into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be listed", str(error.strerror), "name a folder that you may read"
        ) from error
