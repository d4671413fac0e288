"""What the tests of fixes share: small data, a check's record of them, and a table of fixes as a person edits it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.data.images import Side, common_folder
from harness.data.listing import list_images
from harness.runs.data_check_record import CheckedImage, DataCheckRecord, OddImage, OddKind
from harness.util.files import file_md5
from harness.workflows.fixes.write import write_fixes
from tests.conftest import write_files

Row = dict[str, str]
SIX = {f"{name}/{number}.jpg": f"{name} {number}".encode() for name in ("forest", "sea") for number in (1, 2, 3)}

# a process that applies fixes.csv and gets a signal at one of its calls to the system
CUT_OFF = """
import os, signal
from harness.cli.main import main

count, real = 0, os.{call}
def cut_off(*arguments, **options):
    global count
    count += 1
    if count == {number}:
        os.kill(os.getpid(), {signal})
    return real(*arguments, **options)
os.{call} = cut_off
main(["data", "apply", "fixes.csv"])
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks and rules for git."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".gitignore")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def checked(
    data: Path | str,
    *,
    sides: Mapping[Side, Path | str] | None = None,
    columns: tuple[str, ...] = (),
    class_folder: str | None = None,
) -> list[CheckedImage]:
    """All images of the data, as a check names them; `sides` are those beside the training images."""
    listings = {Side.TRAIN: list_images(data, None, Side.TRAIN, columns=columns, class_folder=class_folder)}
    classes = listings[Side.TRAIN].classes
    for side, source in (sides or {}).items():
        listings[side] = list_images(source, classes, side, columns=columns, class_folder=class_folder)
    root = common_folder(images.root for images in listings.values())
    found = []
    for side, images in listings.items():
        below = images.below(root)
        for path, label in zip(below.paths, below.labels, strict=True):
            found.append(CheckedImage(path, str(side), classes[label], file_md5(below.file(path))))
    return found


def record_of(
    images: list[CheckedImage], data: Path | str, folder: Path | str | None = None, **fields: Any
) -> DataCheckRecord:
    """A check that names each of the images as a dark one."""
    counts: dict[str, dict[str, int]] = {}
    for image in images:
        side = counts.setdefault(image.side, {})
        side[image.label] = side.get(image.label, 0) + 1
    values = {"odd": [OddImage(image, OddKind.DARK, "mean 3 of 255") for image in images]} | fields
    where = str(data if folder is None else folder)
    return DataCheckRecord("tiny", str(data), where, "0" * 32, counts, "2026-11-27T20:00:00", 1.0, **values)


def read_table(path: Path) -> list[Row]:
    """The rows of a table of fixes, as its cells are."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def edit(path: Path, change: Callable[[Row], object]) -> Path:
    """Edits a table of fixes: `change` is called with each row."""
    rows = read_table(path)
    for row in rows:
        change(row)
    return save(path, rows)


def save(path: Path, rows: list[Row]) -> Path:
    """Writes rows as a table of fixes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig", "surrogateescape"))
    return path


def table_of(
    path: Path, actions: Mapping[str, str], images: list[CheckedImage], data: Path | str, **fields: Any
) -> Path:
    """A table of fixes for `images`, with an action for some of the files."""
    write_fixes(record_of(images, data, **fields), path, force=True)

    def act(row: Row) -> None:
        row["action"] = actions.get(row["file"], row["action"])

    return edit(path, act)


def six_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a current folder with the files of SIX in `data`; the parent folder is also temporary."""
    home = tmp_path / "home"
    write_files(home / "data", SIX)
    monkeypatch.chdir(home)
    return home
