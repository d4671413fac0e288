"""Tests of reading tables of fixes: as spreadsheet programs save them, and hostile ones."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.read import read_fixes
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import Row, checked, contents, edit, read_table, save, table_of

NAMES = {"forêt, été/ü 1.jpg": b"1", "forêt, été/2.jpg": b"2", "sea/3.jpg": b"3", "sea/4.jpg": b"4"}
ACTIONS = {"forêt, été/ü 1.jpg": "move to sea", "sea/3.jpg": "remove", "sea/4.jpg": "move to forêt, été"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with four files in `data`, whose names have accents, commas and spaces."""
    write_files(tmp_path / "data", NAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(rows: list[Row], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL, end: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def one_column(rows: list[Row]) -> str:
    """The table as Excel saves it if its separator is a semicolon: each row is one cell, quoted if necessary."""
    lines = written(rows).splitlines()
    quoted = [f'"{line.replace(chr(34), chr(34) * 2)}"' if '"' in line else line for line in lines]
    return "\r\n".join(quoted) + "\r\n"


SAVED: dict[str, Callable[[list[Row]], bytes]] = {
    "comma": lambda rows: written(rows).encode(),
    "semicolon, mark, CRLF": lambda rows: written(rows, ";", end="\r\n").encode("utf-8-sig"),
    "tab": lambda rows: written(rows, "\t").encode(),
    "UTF-16, tab": lambda rows: written(rows, "\t", end="\r\n").encode("utf-16"),
    "UTF-16, big end first": lambda rows: b"\xfe\xff" + written(rows, "\t").encode("utf-16-be"),
    "hint for Excel": lambda rows: ("sep=;\r\n" + written(rows, ";", end="\r\n")).encode(),
    "semicolon after an empty line": lambda rows: ("\n" + written(rows, ";")).encode(),
    "code page": lambda rows: written(rows, ";").encode("cp1252"),
    "all quoted": lambda rows: written(rows, quoting=csv.QUOTE_ALL).encode(),
    "old Macintosh": lambda rows: written(rows, end="\r").encode(),
    "one column": lambda rows: one_column(rows).encode("utf-8-sig"),
    "empty lines": lambda rows: ("\n" + written(rows).replace("\n", "\n\n,,,,,,,,,,\n")).encode(),
    "sorted, some deleted": lambda rows: written(sorted(rows[1:], key=lambda row: row["md5"])).encode(),
    "more columns": lambda rows: written([{"mine": "1, 2"} | row | {"note": "x"} for row in rows]).encode(),
    "fewer columns": lambda rows: written(
        [{name: row[name] for name in ("action", "file", "label", "side", "md5", "data")} for row in rows]
    ).encode(),
    "header in capitals": lambda rows: written(rows).replace("action", " ACTION ", 1).encode(),
}


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_read_fixes_accepts_all_forms_of_spreadsheets(home: Path, saved: Callable[[list[Row]], bytes]) -> None:
    table = table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    rows = read_table(table)
    rows.sort(key=lambda row: row["action"] != "keep")  # the first row is a keep row
    table.write_bytes(saved(rows))
    applied = apply_fixes(table)
    assert contents(home / "data") == {"forêt, été/2.jpg": b"2", "forêt, été/4.jpg": b"4", "sea/ü 1.jpg": b"1"}
    assert len(applied.plan.changed) == 3


def test_read_fixes_counts_lines_as_an_editor_does(home: Path) -> None:
    table = table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    rows = read_table(table)
    rows[0]["reason"] = "two\nlines"
    rows[2]["action"] = "move"
    table.write_text(written(rows), encoding="utf-8")
    line = next(number for number, line in enumerate(table.read_text().splitlines(), start=1) if ",move," in line)
    with pytest.raises(DataError, match=f"line {line}: there is no action 'move'; did you mean 'remove'"):
        apply_fixes(table)


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("", "keep"),
        (" Keep ", "keep"),
        ("REMOVE", "remove"),
        ("\u00a0remove\u00a0", "remove"),
        ("Move  to  Sea", "move to  Sea"),
        ("move\tto sea  side ", "move to sea  side "),
    ],
)
def test_read_fixes_accepts_variants_of_an_action(home: Path, word: str, action: str) -> None:
    table = table_of(home / "fixes.csv", {"sea/3.jpg": word}, checked("data"), "data")
    fixes = read_fixes(table)
    assert [row.action for row in fixes.rows] == ([] if action == "keep" else [action])
    assert fixes.kept == 4 - len(fixes.rows)


def test_read_fixes_needs_the_exact_class_if_two_differ_only_in_case(home: Path) -> None:
    write_files(home / "data", {"Sea/5.jpg": b"5"})
    images = checked("data")
    table = table_of(home / "fixes.csv", {"sea/3.jpg": "move to Sea"}, images, "data")
    assert apply_fixes(table, dry_run=True).plan.changed[0].fix.label == "Sea"
    table = table_of(table, {"sea/3.jpg": "move to SEA"}, images, "data")
    with pytest.raises(DataError, match="there is no class 'SEA'"):
        apply_fixes(table)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "a mark alone": b"\xef\xbb\xbf",
    "no table": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "NUL": b"file,side,label,action,md5,data\na\0b,train,sea,remove,,data\n",
    "a workbook": b"PK\x03\x04\x14\0\x06\0",
    "an old workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "a million columns": b"file," * 1_000_000 + b"\n" + b"x," * 1_000_000,
    "a cell of a million letters": b'file,side,label,action,md5,data\n"'
    + b"x" * 1_000_000
    + b'",train,sea,remove,,data\n',
    "an open quote": b'"file,side,label,action,md5,data\n' * 20_000,
    "half of UTF-16": b"\xff\xfef\0i",
    "a header alone": b"file,side,label,action,md5,data\n",
    "HTML": b"<html><body>404</body></html>",
    "JSON": b'{"file": "a"}\n',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_read_fixes_refuses_other_files(home: Path, content: bytes) -> None:
    (home / "fixes.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        apply_fixes(home / "fixes.csv")
    assert len(str(caught.value).splitlines()) == 3
    assert len(str(caught.value)) < 2000


def test_read_fixes_refuses_folders_and_missing_files(home: Path) -> None:
    os.mkfifo(home / "pipe.csv")
    for name, why in (
        ("none.csv", "does not exist"),
        ("data", "is not a table of fixes"),
        ("pipe.csv", "is not a table"),
    ):
        with pytest.raises(UsageError, match=why):
            apply_fixes(name)


@pytest.mark.parametrize(
    "file",
    [
        "../secret.jpg",
        "/etc/passwd",
        "sea/../../secret.jpg",
        "sea/./3.jpg",
        "sea//3.jpg",
        "",
        ".",
        "sea",
        "sea/note.txt",
        "sea/.hidden.jpg",
        ".git/3.jpg",
        "C:\\secret.jpg",
        "sea\\3.jpg",
        "\\\\host\\share\\3.jpg",
        "link/3.jpg",
        "inner/deep/3.jpg",
        "=cmd|'/C calc'!A0",
        "\x1b[2J",
        "x" * 100_000,
        "sea/" + "x" * 300 + ".jpg",
    ],
)
def test_apply_refuses_files_that_are_not_images_of_the_data(home: Path, file: str) -> None:
    write_files(
        home, {"secret.jpg": b"3", "elsewhere/3.jpg": b"3", "data/sea/note.txt": b"3", "data/sea/.hidden.jpg": b"3"}
    )
    write_files(home / "data", {".git/3.jpg": b"3", "inner/9.jpg": b"9", "inner/10.jpg": b"10"})
    (home / "data/inner/deep").symlink_to(home / "elsewhere")
    (home / "data/link").symlink_to(home / "elsewhere")
    table = table_of(home / "fixes.csv", {"sea/3.jpg": "remove"}, checked("data"), "data")
    rows = [row for row in read_table(table) if row["file"] == "sea/3.jpg"]
    if file.startswith(("link", "inner")):
        rows[0]["label"] = file.partition("/")[0]
    save(table, [rows[0] | {"file": file}])
    before = contents(home)
    with pytest.raises(DataError, match="cannot be applied"):
        apply_fixes(table)
    assert contents(home) == before


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("side", "everything", "data has no 'everything' images"),
        ("side", "test", "data has no 'test' images"),
        ("md5", "", "its md5 cell is empty"),
        ("md5", "md5:0", "has changed since the check"),
        ("action", "move to ../../elsewhere", "there is no class"),
        ("action", "move to .git", "there is no class"),
        ("action", "remove; rm -rf /", "there is no action"),
        ("action", "move to ", "there is no action"),
        ("data", "", "does not say where the images are"),
        ("data", "none", "does not exist"),
        ("data", "//host/share", "does not say where"),
        ("data", "https://example.org", "does not say where"),
        ("data", "a\x00b", "not a text file"),
        ("settings", "{", "settings that cannot be read"),
        ("settings", "[" * 100_000, "settings that cannot be read"),
        ("settings", '{"class_folder": 5}', "settings that cannot be read"),
        ("settings", '{"folder": "//host/share"}', "another machine"),
        ("settings", '{"folder": "/"}', "is not a train image"),
        ("settings", '{"folder": "elsewhere"}', "is not a train image"),
        ("settings", '{"columns": ["path"]}', "settings that cannot be read"),
        ("settings", '{"class_folder": "both"}', "settings that cannot be read"),
    ],
)
def test_apply_refuses_a_row_that_does_not_match_the_data(home: Path, column: str, value: str, why: str) -> None:
    table = table_of(home / "fixes.csv", {"sea/3.jpg": "remove"}, checked("data"), "data")
    edit(
        table,
        lambda row: (
            row.update({column: value}) if row["file"] == "sea/3.jpg" or column in ("data", "settings") else None
        ),
    )
    with pytest.raises(DataError, match=why) as caught:
        apply_fixes(table)
    assert len(str(caught.value).splitlines()) == 3
    assert contents(home / "data") == NAMES


def test_apply_accepts_a_class_that_a_spreadsheet_changed_to_a_date(home: Path) -> None:
    """The path contains the class, so the cell `label` does not matter."""
    write_files(
        home / "ages",
        {f"{age}/{number}.jpg": f"{age}{number}".encode() for age in ("0-5", "6-12") for number in (1, 2)},
    )
    table = table_of(home / "fixes.csv", {"6-12/1.jpg": "move to 0-5"}, checked("ages"), "ages")
    edit(table, lambda row: row.update(label={"6-12": "12. Jun", "0-5": "0-5"}[row["label"]]))
    apply_fixes(table)
    assert (home / "ages/0-5/1-2.jpg").read_bytes() == b"6-121"


def test_apply_refuses_rows_of_two_data_sets(home: Path) -> None:
    write_files(home / "other", NAMES)
    table = table_of(home / "fixes.csv", ACTIONS, checked("data"), "data")
    edit(table, lambda row: row.update(data="other") if row["file"] == "sea/4.jpg" else None)
    with pytest.raises(DataError, match="its data are 'other', but those of the first row are 'data'"):
        apply_fixes(table)


ODD = [
    "with space.jpg",
    " lead.jpg",
    "-x.jpg",
    "--help.jpg",
    "new\nline.jpg",
    "e\u0301.jpg",
    "=1+1.jpg",
    "a;=1.jpg",
    "a\\b.jpg",
    'q".jpg',
    "\udcff.jpg",
    "~.jpg",
    "x" * 251 + ".jpg",
]


@pytest.mark.parametrize("name", ODD)
def test_apply_moves_files_with_odd_names(home: Path, name: str) -> None:
    file = home / "data/sea" / name
    file.write_bytes(b"odd")
    (home / "data/forêt, été" / name).write_bytes(b"there")
    images = [image for image in checked("data") if image.path.startswith("sea/") and file.name.endswith(".jpg")]
    (odd,) = [image for image in images if image.path not in ("sea/3.jpg", "sea/4.jpg")]
    table = table_of(home / "fixes.csv", {}, [odd], "data")
    edit(table, lambda row: row.update(action="move to forêt, été"))
    (one,) = apply_fixes(table).plan.changed
    assert one.target is not None
    assert one.target.read_bytes() == b"odd"
    assert one.target.name.endswith("-2.jpg")
    assert not file.exists()
    undo_changes()
    assert file.read_bytes() == b"odd"


@pytest.mark.parametrize(
    "name",
    ["-sea", "=sea", "se a", " sea", "sea ", "se\na", "@sea", "e\u0301te\u0301", "1", "001", "move to sea", "keep"],
)
def test_apply_moves_to_a_class_with_an_odd_name(home: Path, name: str) -> None:
    write_files(home / "data", {f"{name}/5.jpg": b"5", f"{name}/6.jpg": b"6"})
    table = table_of(home / "fixes.csv", {}, checked("data"), "data")

    def act(row: Row) -> None:
        if row["file"] == "sea/3.jpg":
            row["action"] = f"move to {name}"
        if row["file"].endswith("5.jpg"):
            row["action"] = "move to sea"

    edit(table, act)
    if "\n" in name:
        edit(table, lambda row: row.update(action=row["action"].replace("\n", "\\x0a")))
    apply_fixes(table)
    assert (home / "data" / name / "3.jpg").read_bytes() == b"3"
    assert (home / "data/sea/5.jpg").read_bytes() == b"5"


def test_read_fixes_reads_one_hundred_thousand_rows_in_seconds(home: Path) -> None:
    rows = read_table(table_of(home / "fixes.csv", {}, checked("data"), "data"))
    table = save(home / "fixes.csv", rows * 25_000)
    fixes = read_fixes(table)
    assert (fixes.kept, len(fixes.rows)) == (100_000, 0)
