"""A table of images: a line per image with its path and label, and optionally its split and group."""

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
ALSO = {  # names that people give these columns, for the advice in an error; none is taken without being named
    "path": ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "image_id", "id"),
    "label": ("class", "class_name", "category", "target", "species", "diagnosis", "dx", "y"),
}


@dataclass(frozen=True)
class Row:
    """A line of a table, as text."""

    number: int  # of the line, from 1; the header is line 1
    path: str
    label: str
    split: str
    group: str


def is_table(data: Path) -> bool:
    """Whether `data` is a table by its name, and no folder."""
    return data.suffix.lower() in TABLES and not data.is_dir()


def list_table(table: Path, classes: Sequence[str] | None, side: Side, columns: Sequence[str] = ()) -> Images:
    """Lists the images of one side of a table; of a table without a split column, all.

    Paths are relative to the folder of the table, or absolute; the suffix may be left out.

    Args:
        table: A CSV file (comma, semicolon or tab, UTF-8, with a header), or a Parquet file.
        classes: Classes that a model knows; None if the labels are the classes.
        side: The side whose rows are listed.
        columns: Names of columns, each as "path=filename".

    Raises:
        DataError: The table cannot be read, lacks a column, or names no image of this side.
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
            f"the model knows {few(names)}; the table holds {few(labels)}",
            "a table with labels of its classes, which are matched by name",
        )
    if classes is None and len(labels) < 2:
        raise DataError(
            f"{table} has one class only",
            f"its only label is {labels[0]!r}; telling classes apart takes two",
            "-s columns=label=NAME, if another column holds the labels",
        )
    files = [file_of[row.number] for row in rows]
    if not any(map(_exists, files)):
        raise DataError(
            f"no image of {table} is there",
            f"its first line names {rows[0].path}, looked for at {files[0]}",
            f"paths that are absolute, or relative to {table.absolute().parent}",
        )
    root = common_folder([table.parent, *{file.parent for file in file_of.values()}])  # one root for all sides
    actual = [Path(os.path.relpath(file, root)).as_posix() for file in files]
    paths, on_disk = compose_paths(dict.fromkeys(actual))
    path_of = dict(zip(dict.fromkeys(actual), paths, strict=True))
    unique: dict[str, Row] = {}
    for name, row in zip(actual, rows, strict=True):
        before = unique.setdefault(path_of[name], row)
        if (before.label, before.group) != (row.label, row.group):
            raise DataError(
                f"{table} says two things of {row.path}",
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
    """The sides that a table's split column names; empty if it has no such column. Raises DataError."""
    splits = dict.fromkeys(row.split for row in read_rows(table, columns) if row.split)
    return [side for side in Side if any(side_of_split(split, table) is side for split in splits)]


def _rows_of(table: Path, rows: list[Row], side: Side) -> list[Row]:
    """The rows of one side. Raises DataError if one of them lacks something."""
    if any(row.split for row in rows):
        without = next((row for row in rows if not row.split), None)
        if without is not None:
            raise DataError(
                f"{table} does not say which split line {without.number} is of",
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
        raise DataError(f"{table} has no images for {side}", "no line is of this split", "name another table")
    return rows


def side_of_split(split: str, table: Path) -> Side:
    """The side that a table's split column names by a word. Raises DataError if there is none."""
    side = WORDS.get(split.lower())
    if side is None:
        raise DataError(
            f"{table} has the split {split!r}{nearest(split, WORDS)}",
            "a split is train, valid or test",
            "-s columns=split=NAME, if another column holds it; rename the column, if it holds something else",
        )
    return side


class _Files:
    """Finds the files that the lines of a table mean, however they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._suffix = ""  # that the last path lacked: the next ones will, too

    def find(self, named: str) -> Path:
        """The file as it is written; in Windows' or another Unicode form; or with a suffix that the table leaves out.

        The path as it is written if there is none.
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
    except (OSError, ValueError):  # a name that is too long, or no name
        return False


def files_of(table: Path, rows: Iterable[Row]) -> dict[int, Path]:
    """Number of a row -> the whole path of the file that it means."""
    found = _Files(table.parent)
    return {row.number: Path(os.path.normpath(found.find(row.path).absolute())) for row in rows}


def read_rows(table: Path, columns: Sequence[str] = ()) -> list[Row]:
    """The lines of a table that are not empty, of all sides. Raises DataError."""
    if table.exists() and not table.is_file():  # to read a pipe may never end
        raise DataError(f"{table} is no table", "it is a folder, a pipe or a device", "a CSV or Parquet file")
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
        raise DataError(f"{table} has no lines", "it holds a header alone", "a line per image: path,label")
    return rows


def places_of(table: Path, header: Sequence[str], columns: Sequence[str] = ()) -> dict[str, int]:
    """Which column of the table holds what. Raises DataError if a required one, or one that was named, is not there."""
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
                f"-s columns={column}={quote(likely)}, with the name of the column that holds the {column}",
            )
    return places


def _cell(line: Sequence[str], place: int) -> str:
    return line[place].strip() if place < len(line) else ""


def delimiter_of(header: str) -> str:
    """What parts the cells of a table, by its first line."""
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
    """A value of a Parquet file as text: an empty one as "", a whole number without its ".0"."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
