"""Reads a table of fixes that a person has edited."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.config.values import is_column
from harness.data.images import composed
from harness.errors import DataError, nearest
from harness.util.escape import from_cell
from harness.util.schema import SchemaError, is_on_this_machine, parse, path_below, schema_of
from harness.util.text import few
from harness.workflows.fixes.rows import HEADER, KEEP, MD5, MOVE, NEEDED, REMOVE, FixRow, Settings
from harness.workflows.fixes.spreadsheet import read_lines

STRIPPED = ("side", "md5", "settings")  # not stripped: names of files and classes may start or end with spaces
TO_CLASS = re.compile(r"\s*move\s+to\s(.*\S.*)", re.IGNORECASE | re.DOTALL)
MOST_SHOWN = 3  # number of errors in a message
WRITE_AGAIN = "harness data check NAME --write FILE, for a new table"


class Problems:
    """Collects all errors of a table, before anything is changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        """Adds an error of a line."""
        self._found.append((line, text))

    def require_none(self, fix: str) -> None:
        """Raises DataError if there are errors. Its message shows the first ones, with their lines."""
        if not self._found:
            return
        found = sorted(self._found)
        count = len({line for line, _ in found})
        shown = "; ".join(f"line {line}: {text}" for line, text in found[:MOST_SHOWN])
        more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        rows = "one row" if count == 1 else f"{count} rows"
        raise DataError(f"{rows} of {self._path} cannot be applied, and nothing was changed", f"{shown}{more}", fix)


@dataclass(frozen=True)
class Fixes:
    """A table of fixes.

    Attributes:
        path: The table.
        data: The training images: a folder or a table.
        settings: How the images were listed.
        rows: Rows whose action is not "keep".
        kept: Number of rows whose action is "keep".
        problems: Rows that cannot be applied.
    """

    path: Path
    data: str
    settings: Settings
    rows: list[FixRow] = field(default_factory=list)
    kept: int = 0
    problems: Problems = field(default_factory=lambda: Problems(Path()))

    @property
    def folder(self) -> Path:
        """The folder that the paths of the rows are relative to."""
        return Path(self.data if self.settings.folder is None else self.settings.folder)


def read_fixes(path: Path | str) -> Fixes:
    """Reads the table of fixes at `path`. Errors of single rows are in its `problems`.

    Rows may be missing or in another order. Other columns are ignored.

    Raises:
        UsageError: There is no such file.
        DataError: It is not a table of fixes.
    """
    path = Path(path)
    lines = read_lines(path)
    number, header = next(lines, (1, []))
    places = _places(path, header)
    problems = Problems(path)
    rows: list[FixRow] = []
    first: dict[str, str] | None = None
    kept = 0
    for number, cells in lines:
        row = {name: _value(cells, place) for name, place in places.items()}
        row |= {name: row[name].strip() for name in STRIPPED}
        first = first or row
        if (row["data"], row["settings"]) != (first["data"], first["settings"]):
            problems.add(
                number, f"its data are {row['data'][:80]!r}, but those of the first row are {first['data'][:80]!r}"
            )
        action = _action(row["action"])
        if action == KEEP:
            kept += 1
        elif action is None:
            actions = (KEEP, REMOVE, MOVE)
            word = _plain(row["action"])
            typed = f"{row['action'].strip()[:80]!r}{nearest(word, actions)}"
            problems.add(number, f"there is no action {typed} (keep, remove, or move to CLASS)")
        elif not _is_below(row["file"]):
            problems.add(number, f"{row['file'][:80]!r} is not a path inside the data folder")
        else:
            md5 = row["md5"].removeprefix(MD5).lower()
            file, label = composed(row["file"]), composed(row["label"])
            rows.append(FixRow(number, file, row["side"], label, action, md5, composed(row["copy_of"])))
    if first is None:
        raise DataError(f"{path} has no rows", "it contains only a header", WRITE_AGAIN)
    return Fixes(path, _data(path, first["data"]), _settings(path, first["settings"]), rows, kept, problems)


def _places(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Column -> its position; the first one if a name is repeated."""
    names = [_plain(name) for name in header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise DataError(
            f"{path} is not a table of fixes: it has no column {missing[0]}",
            f"its first line has {few([name[:40] for name in header], 5) or 'nothing'}; it must be {', '.join(HEADER)}",
            f"restore the first line; or {WRITE_AGAIN}",
        )
    return {name: names.index(name) if name in names else len(names) for name in HEADER}


def _value(cells: Sequence[str], place: int) -> str:
    return from_cell(cells[place]) if place < len(cells) else ""


def _plain(text: str) -> str:
    """Removes differences of case, of spaces and of Unicode form."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _action(text: str) -> str | None:
    """An action in its normal form, with the class exactly as written; None if it is not an action."""
    plain = _plain(text)
    if plain in ("", KEEP):
        return KEEP
    if plain == REMOVE:
        return REMOVE
    to_class = TO_CLASS.fullmatch(text)
    return f"{MOVE} {composed(to_class[1])}" if to_class else None


def _is_below(path: str) -> bool:
    """Whether a path stays inside its folder."""
    try:
        path_below(path)
    except (SchemaError, UnicodeEncodeError):
        return False
    return True


def _data(path: Path, data: str) -> str:
    if not data or "\0" in data or not is_on_this_machine(data):
        raise DataError(f"{path} does not say where the images are", f"its data column has {data[:80]!r}", WRITE_AGAIN)
    return data


def _settings(path: Path, text: str) -> Settings:
    try:
        settings: Settings = parse(schema_of(Settings), json.loads(text or "{}"))
        if settings.class_folder not in ("", "outer", "inner") or not all(map(is_column, settings.columns)):
            raise SchemaError("class_folder must be outer or inner, and columns must look like path=filename")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} has settings that cannot be read", str(error)[:200], WRITE_AGAIN) from error
    for named in (settings.folder, settings.valid_data, settings.test_data):
        if named is not None and not is_on_this_machine(named):
            raise DataError(f"{path} names images on another machine", named[:80], WRITE_AGAIN)
    return settings


def match_class(word: str, classes: Iterable[str]) -> str | None:
    """The class that `word` means; None if there is none, or more than one."""
    classes = list(classes)
    for exact in (word, word.strip()):  # a class may start or end with spaces
        if exact in classes:
            return exact
    near = [name for name in classes if _plain(name) == _plain(word)]
    return near[0] if len(near) == 1 else None


def same_label(one: str, other: str) -> bool:
    """Whether two labels are the same. A spreadsheet may have read one as a number: 001 becomes 1."""
    if one.strip() == other.strip():
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False
