"""Lists the images of a table, with one line per image: path and label, and optionally split and group."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.config.values import COLUMNS
from harness.data.formats import SUFFIXES, is_image_name
from harness.data.images import Images, Side, common_folder, compose_paths, composed
from harness.data.layout import WORDS
from harness.errors import DataError, nearest
from harness.util.text import few

TABLES = {".csv", ".tsv", ".parquet"}
ALSO = {  # other common names of these columns, only for the suggestion in an error
    "path": ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "image_id", "id"),
    "label": ("class", "class_name", "category", "target", "species", "diagnosis", "dx", "y"),
}


@dataclass(frozen=True)
class Row:
    """A line of a table, as text."""

    number: int  # of the line; the header is line 1
    path: str
    label: str
    split: str
    group: str


def is_table(data: Path) -> bool:
    """Whether `data` is a table by its name, and not a folder."""
    return data.suffix.lower() in TABLES and not data.is_dir()


def list_table(table: Path, classes: Sequence[str] | None, side: Side, columns: Sequence[str] = ()) -> Images:
    """Lists the images of one split of a table, or all images if the table has no split column.

    Paths are absolute, or relative to the folder of the table. The suffix may be left out.

    Args:
        table: A CSV file (comma, semicolon or tab, UTF-8, with a header), or a Parquet file.
        classes: The classes that a model knows. None: the labels are the classes.
        side: The split to list.
        columns: Names of columns, each as "path=filename".

    Raises:
        DataError: The table cannot be read, lacks a column, or has no image of this split.
    """
    everything = read_rows(table, columns)
    file_of = files_of(table, everything)
    rows = _rows_of(table, everything, side)
    labels = sorted({row.label for row in rows})
    names = tuple(labels if classes is None else (composed(name) for name in classes))
    unknown = [label for label in labels if label not in names]
    if unknown:
        raise DataError(
            f"{table} has unknown classes: {few(unknown)}{nearest(unknown[0], names)}",
            f"the model knows {few(names)}; the table contains {few(labels)}",
            "a table whose labels are the names of the model's classes",
        )
    if classes is None and len(labels) < 2:
        raise DataError(
            f"{table} has one class only",
            f"its only label is {labels[0]!r}; classification needs two classes",
            "-s columns=label=NAME, if another column has the labels",
        )
    files = [file_of[row.number] for row in rows]
    if not any(map(_exists, files)):
        raise DataError(
            f"none of the images of {table} exists",
            f"its first line names {rows[0].path}, looked for at {files[0]}",
            f"paths that are absolute, or relative to {table.absolute().parent}",
        )
    root = common_folder([table.parent, *{file.parent for file in file_of.values()}])  # one root for all splits
    actual = [Path(os.path.relpath(file, root)).as_posix() for file in files]
    paths, on_disk = compose_paths(dict.fromkeys(actual))
    path_of = dict(zip(dict.fromkeys(actual), paths, strict=True))
    unique: dict[str, Row] = {}
    for name, row in zip(actual, rows, strict=True):
        before = unique.setdefault(path_of[name], row)
        if (before.label, before.group) != (row.label, row.group):
            raise DataError(
                f"{table} has two different lines for {row.path}",
                f"line {before.number}: {before.label} {before.group}; line {row.number}: {row.label} {row.group}",
                "remove one of the two lines",
            )
    order = sorted(unique, key=lambda path: (unique[path].label, path))
    groups = tuple(unique[path].group for path in order) if any(row.group for row in rows) else None
    twice = len(rows) - len(unique)
    notes = [f"1 line of {table} is there twice" if twice == 1 else f"{twice} lines of {table} are there twice"]
    return Images(
        root,
        names,
        tuple(order),
        tuple(names.index(unique[path].label) for path in order),
        groups=groups,
        on_disk=on_disk,
        notes=tuple(notes) if twice else (),
    )


def sides_in_table(table: Path, columns: Sequence[str] = ()) -> list[Side]:
    """The splits in a table's split column; empty if it has no such column. Raises DataError."""
    splits = dict.fromkeys(row.split for row in read_rows(table, columns) if row.split)
    return [side for side in Side if any(side_of_split(split, table) is side for split in splits)]


def _rows_of(table: Path, rows: list[Row], side: Side) -> list[Row]:
    """Returns the rows of one split; all rows if no row names a split.

    Raises DataError if a row has no split, label or path, if a label cannot name a class, or if there are no rows.
    """
    if any(row.split for row in rows):
        without = next((row for row in rows if not row.split), None)
        if without is not None:
            raise DataError(
                f"line {without.number} of {table} has no split",
                f"its split is empty: {without.path}",
                "write train, valid or test there",
            )
        rows = [row for row in rows if side_of_split(row.split, table) is side]
    unlabelled = next((row for row in rows if not row.label or not row.path), None)
    if unlabelled is not None:
        raise DataError(
            f"line {unlabelled.number} of {table} lacks its {'label' if unlabelled.path else 'path'}",
            f"path {unlabelled.path!r}, label {unlabelled.label!r}",
            "fill it in, or remove the line",
        )
    odd = next((row for row in rows if "/" in row.label or row.label in (".", "..") or len(row.label) > 255), None)
    if odd is not None:
        raise DataError(
            f"line {odd.number} of {table} has a label that cannot be the name of a class",
            f"{odd.label[:80]!r}; a class cannot have '/' in its name, or more than 255 characters",
            "rename the class",
        )
    if not rows:
        raise DataError(f"{table} has no images for {side}", "no line has this split", "give another table")
    return rows


def side_of_split(split: str, table: Path) -> Side:
    """The split for a word in a table's split column. Raises DataError if the word is unknown."""
    side = WORDS.get(split.lower())
    if side is None:
        raise DataError(
            f"{table} has the split {split!r}{nearest(split, WORDS)}",
            "a split is train, valid or test",
            "-s columns=split=NAME, if another column has the split; or rename the column, if it has another meaning",
        )
    return side


class _Files:
    """Finds the files that the lines of a table name, in several spellings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._suffix = ""  # missing from the last path, and probably from the next

    def find(self, named: str) -> Path:
        """Finds a file by its path: as written, with Windows' separators, in another Unicode form, or without suffix.

        Returns the path as written if no such file exists.
        """
        for form in dict.fromkeys(
            (named, named.replace("\\", "/"), *(unicodedata.normalize(form, named) for form in ("NFC", "NFD")))
        ):
            path = self._folder / form
            if _exists(path):
                return path
            if is_image_name(path.name):
                continue
            for suffix in dict.fromkeys((self._suffix, *sorted(SUFFIXES), *map(str.upper, sorted(SUFFIXES)))):
                if suffix and _exists(whole := path.with_name(path.name + suffix)):
                    self._suffix = suffix
                    return whole
        return self._folder / named


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long, or invalid
        return False


def files_of(table: Path, rows: Iterable[Row]) -> dict[int, Path]:
    """Number of a row -> the absolute path of its file."""
    found = _Files(table.parent)
    return {row.number: Path(os.path.normpath(found.find(row.path).absolute())) for row in rows}


def read_rows(table: Path, columns: Sequence[str] = ()) -> list[Row]:
    """The lines of a table that are not empty, of all splits. Raises DataError."""
    if table.exists() and not table.is_file():  # to read a pipe may never end
        raise DataError(f"{table} is not a table", "it is a folder, a pipe or a device", "give a CSV or Parquet file")
    try:
        header, lines = _parquet(table) if table.suffix.lower() == ".parquet" else _text(table)
    except FileNotFoundError as error:
        raise DataError(
            f"{table} is not there", f"looked for {table.absolute()}", "-s data=FILE with the path of the table"
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read", str(error), "save it as CSV in UTF-8, with a header") from error
    places = places_of(table, header, columns)
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = {name: _cell(line, place) for name, place in places.items()}
        if any(cell.strip() for cell in line):
            row = {name: cells.get(name, "") for name in COLUMNS}
            rows.append(Row(number, row["path"], composed(row["label"]), row["split"], composed(row["group"])))
    if not rows:
        raise DataError(f"{table} has no lines", "it contains only a header", "add one line per image: path,label")
    return rows


def places_of(table: Path, header: Sequence[str], columns: Sequence[str] = ()) -> dict[str, int]:
    """Column of `COLUMNS` -> its position in the table. Raises DataError if a required or named column is missing."""
    named: Mapping[str, str] = dict(column.split("=", 1) for column in columns)
    lower = [name.lower() for name in header]
    places = {}
    for column in COLUMNS:
        wanted = named.get(column, column)
        if wanted in header:
            places[column] = header.index(wanted)
        elif lower.count(wanted.lower()) == 1:
            places[column] = lower.index(wanted.lower())
        elif column in named or column in ALSO:
            likely = next((name for name in header if name.lower() in ALSO.get(column, ())), "NAME")
            raise DataError(
                f"{table} has no column {wanted!r}",
                f"its columns are {few(header, 8)}",
                f"-s columns={column}={quote(likely)}, with the name of the column that contains the {column}",
            )
    return places


def _cell(line: Sequence[str], place: int) -> str:
    return line[place].strip() if place < len(line) else ""


def delimiter_of(header: str) -> str:
    """The delimiter of a table, found in its first line."""
    return max(",;\t", key=header.count)


def _text(table: Path) -> tuple[list[str], list[list[str]]]:
    text = table.read_text(encoding="utf-8-sig")
    delimiter = delimiter_of(text.partition("\n")[0])
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    if not rows:
        raise ValueError("it is empty")
    return [name.strip() for name in rows[0]], rows[1:]


def _parquet(table: Path) -> tuple[list[str], list[list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        read = pq.read_table(table)
    except pa.ArrowException as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    columns = [[text_of(value) for value in column.to_pylist()] for column in read.columns]
    return list(read.column_names), [list(row) for row in zip(*columns, strict=True)]


def text_of(value: object) -> str:
    """Converts a value of a Parquet file to text: a missing value to "", a whole number without ".0"."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
