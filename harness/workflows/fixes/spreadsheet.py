"""Reads a CSV in whatever form a spreadsheet has saved it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from harness.errors import DataError, UsageError
from harness.util.schema import LARGEST

SEPARATORS = ",;\t"
ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods begin, and .xls
HINT = re.compile(r"sep=([,;\t])\s*\n")  # for Excel, which separator is used
SAVE = "save it as CSV, in UTF-8 if the program asks"


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the first line, from 1, and the cells of each row that is not empty.

    Takes UTF-8 with and without its mark, UTF-16 as Excel's "Unicode text", and the code page of Windows in Western
    Europe; commas, semicolons and tabs; and rows that are one cell, as Excel shows a CSV whose separator it does not
    know.

    Raises:
        UsageError: There is no such file.
        DataError: It is no table, or larger than 64 MB.
    """
    text = _text(path)
    hint = HINT.match(text)
    separator = hint[1] if hint else max(SEPARATORS, key=text.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    first = 1
    if hint:
        next(reader)
        first = 2
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield first, _apart(cells)
            first = reader.line_num + 1
    except csv.Error as error:
        raise _no_table(path, f"line {first}: {error}") from error


def _apart(cells: list[str]) -> list[str]:
    """A row whose cells are all in the first one, as a row of cells; others as they are."""
    if any(cells[1:]) or "," not in cells[0]:
        return cells
    return next(csv.reader([cells[0]]), cells)


def _text(path: Path) -> str:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise UsageError(f"{path} is no table of fixes", "it is a folder, a pipe or a device", "the CSV of --write")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        fix = f"harness data check --write {quote(str(path))}"
        raise UsageError(f"{path} is not there", f"looked for {path.absolute()}", fix) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read", str(error.strerror), f"chmod u+r {quote(str(path))}") from error
    if len(content) > LARGEST:
        raise _no_table(path, f"it is larger than {LARGEST // 2**20} MB")
    if content.startswith(ARCHIVES):
        raise _no_table(path, "it is a spreadsheet's own format")
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf_16 else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except ValueError:
            continue
        if "\0" in text:
            break
        return text
    raise _no_table(path, "it is no text")


def _no_table(path: Path, why: str) -> DataError:
    return DataError(f"{path} is no table of fixes", why, SAVE)
