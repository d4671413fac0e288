"""Checks whether a file belongs to the data, so that no output overwrites it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.data.formats import is_image_name
from harness.data.table import files_of, is_table, read_rows
from harness.errors import DataError
from harness.util.schema import is_inside


def source_of(file: Path, sources: Iterable[Path | str | None], columns: Sequence[str] = ()) -> str:
    """Returns why `file` belongs to the data, as text; empty if it does not.

    A file belongs to the data if it is one of the tables, an image named in a table, or an image in a folder.

    Args:
        file: The file, which need not exist.
        sources: Folders and tables of images; None is ignored.
        columns: Names of columns of the tables, as in `list_table`.
    """
    for source in dict.fromkeys(Path(source) for source in sources if source is not None):
        if not source.is_dir() and _is_same(file, source):
            return "it is a table of the images"
        if is_table(source) and os.path.lexists(file) and _is_named(file, source, columns):
            return f"{source} names it as an image"
        if source.is_dir() and is_image_name(file.name) and is_inside(file, source):
            return f"it is an image in {source}"
    return ""


def _is_named(file: Path, table: Path, columns: Sequence[str]) -> bool:
    try:
        images = files_of(table, read_rows(table, columns)).values()
    except DataError:  # the check of the data reports it
        return False
    return any(_is_same(file, image) for image in images)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are the same file, also through links and on a disk that ignores upper and lower case."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them does not exist
        return os.path.realpath(one) == os.path.realpath(other)
