"""Tests of a table of fixes for images whose labels are in a table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.images import Side
from harness.data.listing import list_images
from harness.errors import DataError, UsageError
from harness.workflows.fixes.apply import apply_fixes
from harness.workflows.fixes.undo import undo_changes
from tests.conftest import write_files
from tests.fixes import CUT_OFF, checked, contents, table_of

LABELS = b'\xef\xbb\xbfid;dx;note\r\n1;nv;"a;b"\r\n2;nv;\r\n3;mel;x\r\n4;mel;\r\n'
COLUMNS = ("path=id", "label=dx")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with `labels.csv` and four images beside it."""
    write_files(tmp_path, {"labels.csv": LABELS} | {f"{number}.jpg": b"%d" % number for number in (1, 2, 3, 4)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_apply_rewrites_the_table_and_moves_no_image(home: Path) -> None:
    images = checked("labels.csv", columns=COLUMNS)
    table = table_of(
        home / "fixes.csv",
        {"1.jpg": "move to mel", "4.jpg": "remove"},
        images,
        "labels.csv",
        folder=".",
        columns=list(COLUMNS),
    )
    applied = apply_fixes(table)
    assert (home / "labels.csv").read_bytes() == b'\xef\xbb\xbfid;dx;note\r\n1;mel;"a;b"\r\n2;nv;\r\n3;mel;x\r\n'
    (changes,) = applied.changes
    assert changes.folder.parent == home / "labels.csv-changes"
    assert (changes.folder / "tables/labels.csv").read_bytes() == LABELS
    assert (home / "4.jpg").exists()
    assert len(undo_changes().reverted.tables) == 1
    assert (home / "labels.csv").read_bytes() == LABELS


def test_apply_skips_rows_of_a_table_that_were_already_applied(home: Path) -> None:
    images, fields = checked("labels.csv", columns=COLUMNS), {"folder": ".", "columns": list(COLUMNS)}
    actions = {"1.jpg": "move to mel", "4.jpg": "remove"}
    apply_fixes(table_of(home / "fixes.csv", actions, images, "labels.csv", **fields))
    once = (home / "labels.csv").read_bytes()
    applied = apply_fixes(table_of(home / "fixes.csv", actions, images, "labels.csv", **fields))
    assert applied.plan.changed == []
    assert (home / "labels.csv").read_bytes() == once


def test_undo_refuses_a_table_that_was_edited(home: Path) -> None:
    images = checked("labels.csv", columns=COLUMNS)
    table = table_of(home / "fixes.csv", {"4.jpg": "remove"}, images, "labels.csv", folder=".", columns=list(COLUMNS))
    apply_fixes(table)
    edited = (home / "labels.csv").read_bytes() + b"2;mel;\r\n"
    (home / "labels.csv").write_bytes(edited)
    with pytest.raises(DataError, match=r"labels.csv has changed"):
        undo_changes()
    assert (home / "labels.csv").read_bytes() == edited


def test_apply_refuses_a_label_that_has_changed(home: Path) -> None:
    images = checked("labels.csv", columns=COLUMNS)
    table = table_of(home / "fixes.csv", {"1.jpg": "remove"}, images, "labels.csv", folder=".", columns=list(COLUMNS))
    (home / "labels.csv").write_bytes(LABELS.replace(b"1;nv", b"1;mel"))
    with pytest.raises(DataError, match=r"line \d: 1.jpg now has the label mel, but 'nv' in the table"):
        apply_fixes(table)


def test_apply_changes_an_image_in_one_split_of_a_table(home: Path) -> None:
    """The same file is a training and a test image: it is removed only from the training images."""
    rows = b"path,label,split\n1.jpg,a,train\n2.jpg,a,train\n3.jpg,b,train\n1.jpg,a,test\n4.jpg,b,test\n"
    (home / "split.csv").write_bytes(rows)
    images = checked("split.csv", sides={Side.TEST: "split.csv"})
    train = [image for image in images if image.side == "train"]
    apply_fixes(table_of(home / "fixes.csv", {"1.jpg": "remove"}, train, "split.csv", folder="."))
    assert (home / "split.csv").read_bytes() == rows.replace(b"1.jpg,a,train\n", b"")
    undo_changes()
    test = [image for image in images if image.side == "test"]
    apply_fixes(table_of(home / "fixes.csv", {"1.jpg": "move to b"}, test, "split.csv", folder="."))
    assert (home / "split.csv").read_bytes() == rows.replace(b"1.jpg,a,test\n", b"1.jpg,b,test\n")


def test_apply_changes_a_table_and_a_folder_in_one_call(home: Path) -> None:
    write_files(home / "test", {"nv/9.jpg": b"9", "nv/8.jpg": b"8", "mel/7.jpg": b"7"})
    images = checked("labels.csv", columns=COLUMNS, sides={Side.TEST: "test"})
    fields = {"folder": ".", "columns": list(COLUMNS), "test_data": "test"}
    actions = {"1.jpg": "move to mel", "test/nv/9.jpg": "move to mel"}
    apply_fixes(table_of(home / "fixes.csv", actions, images, "labels.csv", **fields))
    assert b"1;mel" in (home / "labels.csv").read_bytes()
    assert (home / "test/mel/9.jpg").exists()
    undo_changes()
    assert (home / "labels.csv").read_bytes() == LABELS
    assert (home / "test/nv/9.jpg").exists()


@pytest.mark.parametrize("number", [4, 5])
def test_undo_restores_a_table_after_a_kill(home: Path, number: int) -> None:
    """The order of syncs: the rule for git, the copy of the table, the log, the table, the log again."""
    images, fields = checked("labels.csv", columns=COLUMNS), {"folder": ".", "columns": list(COLUMNS)}
    table_of(home / "fixes.csv", {"1.jpg": "move to mel"}, images, "labels.csv", **fields)
    script = CUT_OFF.format(call="fsync", number=number, signal=9)
    assert subprocess.run([sys.executable, "-c", script], cwd=home, check=False).returncode == -9
    assert ((home / "labels.csv").read_bytes() == LABELS) is (number == 4)
    undo_changes()
    assert (home / "labels.csv").read_bytes() == LABELS


def test_apply_rewrites_a_parquet_file(home: Path) -> None:
    pq.write_table(pa.table({"path": ["1", "2", "3"], "label": ["a", "a", "b"]}), home / "t.parquet")
    before = (home / "t.parquet").read_bytes()
    images = checked("t.parquet")
    apply_fixes(table_of(home / "fixes.csv", {"1.jpg": "move to b"}, images, "t.parquet", folder="."))
    listed = list_images("t.parquet")
    assert dict(zip(listed.paths, listed.labels, strict=True)) == {"1.jpg": 1, "2.jpg": 0, "3.jpg": 1}
    undo_changes()
    assert (home / "t.parquet").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_apply_moves_images_back_if_the_table_cannot_be_written(home: Path) -> None:
    """The copy of the table is as large as a file may be, and the new table is larger."""
    label = "m" * 200
    rows = b"path,label\n" + b"1.jpg,a\n" * 2000 + b"2.jpg,a\n3.jpg," + label.encode() + b"\n"
    write_files(home, {"t.csv": rows, "test/a/9.jpg": b"9", f"test/{label}/8.jpg": b"8"})
    before = contents(home)
    actions = {"1.jpg": f"move to {label}", "test/a/9.jpg": "remove"}
    images = checked("t.csv", sides={Side.TEST: "test"})
    table = table_of(home / "fixes.csv", actions, images, "t.csv", folder=".", test_data="test")
    before = contents(home)
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(rows) + 50},) * 2)\n"
    script += "from harness.cli.main import main; main(['data', 'apply', 'fixes.csv'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "t.csv cannot be written" in done.stderr
    after = {path: content for path, content in contents(home).items() if "-changes/" not in path}
    assert after == before
    assert table.exists()
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_changes()


def test_apply_accepts_a_label_that_a_spreadsheet_changed_to_a_number(home: Path) -> None:
    (home / "n.csv").write_bytes(b"path,label\n1.jpg,001\n2.jpg,001\n3.jpg,002\n4.jpg,002\n")
    table = table_of(home / "fixes.csv", {"1.jpg": "move to 002"}, checked("n.csv"), "n.csv", folder=".")
    table.write_bytes(table.read_bytes().replace(b",001,", b",1,").replace(b",002,", b",2,"))
    apply_fixes(table)
    assert (home / "n.csv").read_bytes().startswith(b"path,label\n1.jpg,002\n")
    assert contents(home)["1.jpg"] == b"1"


@pytest.mark.parametrize("label", ["NA", "nan", "None", "null", "1e5", "TRUE", "0123", "2-3"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_apply_keeps_labels_that_look_like_missing_values_or_dates(home: Path, label: str, suffix: str) -> None:
    """The table as programs write it that read it with pandas."""
    labels = [label, label, "other", "other"]
    if suffix == "csv":
        lines = [f"{number},{each},007,1.50,NA" for number, each in enumerate(labels, start=1)]
        (home / "n.csv").write_text("\n".join(["path,label,zip,x,y", *lines]) + "\n")
    else:
        pq.write_table(pa.table({"path": ["1", "2", "3", "4"], "label": labels}), home / "n.parquet")
    data = f"n.{suffix}"
    actions = {"1.jpg": "move to other", "3.jpg": f"move to {label}"}
    apply_fixes(table_of(home / "fixes.csv", actions, checked(data), data, folder="."))
    images = list_images(data)
    given = {path: images.classes[index] for path, index in zip(images.paths, images.labels, strict=True)}
    assert given == {"1.jpg": "other", "2.jpg": label, "3.jpg": label, "4.jpg": "other"}
    if suffix == "csv":
        assert (home / "n.csv").read_text().count(",007,1.50,NA\n") == 4
