"""Lists the images of a folder, in any known layout, or of a table."""

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
    """Lists the images of one split of `data`.

    Args:
        data: A folder with one folder per class; a folder that contains such folders for training, validation and
            test; or a table.
        classes: The classes that a model knows, which must be the names of the folders. None: the folders are the
            classes.
        side: The split to list.
        columns: Names of a table's columns, each as "path=filename".
        class_folder: "outer" or "inner" if two levels of folders may name the class.

    Raises:
        DataError: The folder does not exist, has no class, only one class or a class without images, or its layout has
            more than one possible meaning.
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
    """Split -> the folder or table with its labelled images; empty if `data` is not split.

    Raises DataError, like `list_images`.
    """
    data = Path(data)
    if is_table(data):
        return dict.fromkeys(sides_in_table(data, columns), str(data))
    layout = layout_of(data, (), class_folder, "-s data=FOLDER")
    return {side: str(path) for side, path in layout.sides.items()}


def layout_of(data: Path, known: Sequence[str], class_folder: str | None, option: str) -> Layout:
    """Finds the layout of a folder. Raises DataError, also if it does not exist; `option` is for the error."""
    with _listing(data):
        if not data.is_dir():
            raise no_folder(data, option)
        return find_layout(data, known, class_folder)


@contextlib.contextmanager
def _listing(root: Path) -> Iterator[None]:
    """Converts an OSError to a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be listed", str(error.strerror), "give a folder that you may read"
        ) from error
