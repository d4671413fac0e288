"""Changes labels of images in a table, or removes their lines. All other cells stay the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.images import Side, composed
from harness.data.table import delimiter_of, files_of, places_of, read_rows, side_of_split, text_of
from harness.errors import DataError

BOM = "\ufeff"
BY_HAND = "change the table in the program that made it"


def rewritten(table: Path, columns: Sequence[str], changes: Mapping[Side, Mapping[Path, str | None]]) -> bytes:
    """Returns the content of a table with changed labels.

    In a text, all other bytes stay the same: delimiters, quotes, line ends, spaces around a label. In a Parquet file,
    the types of the columns, the metadata and the compression stay the same.

    Args:
        table: The table. It is only read.
        columns: Names of its columns, as in `list_table`.
        changes: Split -> absolute path of a file -> its new label, or None to remove its lines.

    Raises:
        DataError: The table cannot be read, or another cell would change.
    """
    rows = read_rows(table, columns)
    files = files_of(table, rows)
    is_split = any(row.split for row in rows)
    new: dict[int, str | None] = {}
    for row in rows:
        for side, labels in changes.items():
            if files[row.number] in labels and (not is_split or side_of_split(row.split, table) is side):
                new[row.number] = labels[files[row.number]]
    try:
        if table.suffix.lower() == ".parquet":
            return _parquet(table, columns, new)
        return _text(table, columns, new)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be rewritten", str(error), BY_HAND) from error


def _text(table: Path, columns: Sequence[str], new: Mapping[int, str | None]) -> bytes:
    whole = table.read_bytes().decode("utf-8")
    mark = BOM if whole.startswith(BOM) else ""
    lines = list(io.StringIO(whole.removeprefix(BOM), newline=""))
    delimiter = delimiter_of(lines[0])
    reader = csv.reader(iter(lines), delimiter=delimiter)
    header = next(reader)
    place = places_of(table, [name.strip() for name in header], columns)["label"]
    parts = lines[: reader.line_num]
    expected = [header]
    spelling: dict[str, str] = {}
    begin = reader.line_num
    records = []
    for number, cells in enumerate(reader, start=2):
        records.append((number, cells, "".join(lines[begin : reader.line_num])))
        begin = reader.line_num
        if place < len(cells):
            spelling.setdefault(composed(cells[place].strip()), cells[place].strip())
    for number, cells, raw in records:
        label = new.get(number, "")
        if number not in new:
            parts.append(raw)
            expected.append(cells)
        elif label is not None:
            changed, cells = _relabelled(raw, cells, place, spelling.get(label, label), delimiter)
            parts.append(changed)
            expected.append(cells)
    text = "".join(parts)
    if list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) != expected:
        raise ValueError("its quotes are unusual: other cells would change")
    return (mark + text).encode()


def _relabelled(raw: str, cells: list[str], place: int, label: str, delimiter: str) -> tuple[str, list[str]]:
    """Changes the label of a record. Returns its text and its cells. Spaces around the label and quotes stay."""
    start, end = _spans(raw, delimiter)[place]
    old = cells[place]
    bare = old.strip()
    left = old[: old.index(bare)] if bare else ""
    value = left + label + old[len(left) + len(bare) :]
    needs_quotes = raw[start : start + 1] == '"' or any(letter in value for letter in (delimiter, '"', "\r", "\n"))
    quotes = '"'
    cell = f'"{value.replace(quotes, quotes * 2)}"' if needs_quotes else value
    return raw[:start] + cell + raw[end:], [*cells[:place], value, *cells[place + 1 :]]


def _spans(raw: str, delimiter: str) -> list[tuple[int, int]]:
    """(start, end) of each cell in a record's text, split in the same way as by `csv.reader`."""
    spans: list[tuple[int, int]] = []
    start, place, quoted = 0, 0, False
    while place < len(raw):
        letter = raw[place]
        if quoted:
            if letter == '"' and raw[place + 1 : place + 2] == '"':
                place += 1
            elif letter == '"':
                quoted = False
        elif letter == '"' and place == start:
            quoted = True
        elif letter == delimiter:
            spans.append((start, place))
            start = place + 1
        elif letter in "\r\n":
            break
        place += 1
    return [*spans, (start, place)]


def _parquet(table: Path, columns: Sequence[str], new: Mapping[int, str | None]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table) as file:
            read, metadata = file.read(), file.metadata
    except pa.ArrowException as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    place = places_of(table, read.column_names, columns)["label"]
    values: list[Any] = read.column(place).to_pylist()
    known = {composed(text_of(value).strip()): value for value in reversed(values)}
    for number, label in new.items():
        if label is not None:
            values[number - 2] = known.get(label, label)
    kept = [row for row in range(len(values)) if new.get(row + 2, "") is not None]
    field = read.schema.field(place)
    try:
        column = pa.array(values, field.type)
        changed = read.set_column(place, field, column).take(kept)
        out = pa.BufferOutputStream()
        pq.write_table(changed, out, compression=metadata.row_group(0).column(place).compression)
    except pa.ArrowException as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    content: bytes = out.getvalue().to_pybytes()
    return content
