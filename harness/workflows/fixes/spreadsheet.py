"""Reads a CSV file in all forms that spreadsheet programs save."""

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
ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls
HINT = re.compile(r"sep=([,;\t])\s*\n")  # a line that tells Excel the separator
SAVE = "save it as CSV in your spreadsheet program, in UTF-8 if it asks"


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the first line, from 1, and the cells of each row that is not empty.

    Accepts UTF-8 with or without a byte order mark, UTF-16 (Excel's "Unicode text") and the Windows code page of
    Western Europe. Separators are commas, semicolons or tabs. Also accepts rows in a single cell: Excel saves them so
    if it did not know the separator.

    Raises:
        UsageError: There is no such file.
        DataError: It is not a table, or it is larger than 64 MB.
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
    """Splits a row whose cells are all in the first one. Other rows are unchanged."""
    if any(cells[1:]) or "," not in cells[0]:
        return cells
    return next(csv.reader([cells[0]]), cells)


def _text(path: Path) -> str:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise UsageError(
            f"{path} is not a table of fixes",
            "it is a folder, a pipe or a device",
            "name the CSV file that harness data check --write made",
        )
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        fix = f"harness data check --write {quote(str(path))}"
        raise UsageError(f"{path} does not exist", f"looked for {path.absolute()}", fix) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read", str(error.strerror), f"chmod u+r {quote(str(path))}") from error
    if len(content) > LARGEST:
        raise _no_table(path, f"it is larger than {LARGEST // 2**20} MB")
    if content.startswith(ARCHIVES):
        raise _no_table(path, "it is in the format of a spreadsheet program")
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf_16 else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except ValueError:
            continue
        if "\0" in text:
            break
        return text
    raise _no_table(path, "it is not a text file")


def _no_table(path: Path, why: str) -> DataError:
    return DataError(f"{path} is not a table of fixes", why, SAVE)
