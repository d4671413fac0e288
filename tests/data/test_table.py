from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.images import Side
from harness.data.listing import list_images, sides_of
from harness.data.table import read_rows
from harness.errors import DataError
from tests.data.test_folders import make


def table(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    make(folder, "img/1.jpg", "img/2.jpg", "img/3.jpg", "img/4.jpg")
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


ROWS = "img/2.jpg,dog\nimg/1.jpg,cat\nimg/3.jpg,cat\nimg/4.jpg,dog\n"


def test_list_images_of_a_table(tmp_path: Path) -> None:
    images = list_images(table(tmp_path, "path,label\n" + ROWS))
    assert images.root == tmp_path
    assert images.classes == ("cat", "dog")
    assert images.paths == ("img/1.jpg", "img/3.jpg", "img/2.jpg", "img/4.jpg")
    assert images.labels == (0, 0, 1, 1)
    assert images.groups is None


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        ("Path;Label\nimg\\1.jpg;cat\nimg\\2.jpg;dog\n", "x.csv", "utf-8-sig"),  # Excel, on Windows
        ('path\tlabel\nimg/1.jpg\t"cat"\n\nimg/2.jpg\tdog\n', "x.tsv", "utf-8"),
    ],
)
def test_list_images_reads_tables_of_other_programs(text: str, name: str, encoding: str, tmp_path: Path) -> None:
    images = list_images(table(tmp_path, text, name, encoding))
    assert images.paths == ("img/1.jpg", "img/2.jpg")
    assert images.classes == ("cat", "dog")


def test_list_images_of_a_table_with_splits_and_groups(tmp_path: Path) -> None:
    text = "path,label,split,group\nimg/1.jpg,cat,Train,p1\nimg/2.jpg,dog,train,p2\nimg/3.jpg,cat,val,p3\n"
    path = table(tmp_path, text + "img/4.jpg,dog,test,p4\n")
    assert sides_of(path) == {side: str(path) for side in Side}
    assert list_images(path).groups == ("p1", "p2")
    assert list_images(path, ("cat", "dog"), Side.VALID).paths == ("img/3.jpg",)
    assert list_images(path, ("cat", "dog"), Side.TEST).counts() == {"cat": 0, "dog": 1}


def test_list_images_of_a_parquet_file_with_other_column_names(tmp_path: Path) -> None:
    table(tmp_path, "")
    content = pa.table({"file": ["img/1.jpg", "img/2.jpg"], "y": [1.0, 0.0], "patient": [7, None]})
    pq.write_table(content, tmp_path / "labels.parquet")
    columns = ("path=file", "label=y", "group=patient")
    images = list_images(tmp_path / "labels.parquet", columns=columns)
    assert images.classes == ("0", "1")
    assert images.paths == ("img/2.jpg", "img/1.jpg")
    assert images.groups == ("", "7")


def test_list_images_of_a_table_finds_a_common_root(tmp_path: Path) -> None:
    make(tmp_path, "photos/1.jpg", "photos/2.jpg", "tables/x")
    (tmp_path / "tables/t.csv").write_text(f"path,label\n../photos/1.jpg,a\n{tmp_path}/photos/2.jpg,b\n")
    images = list_images(tmp_path / "tables/t.csv")
    assert images.root == tmp_path
    assert images.paths == ("photos/1.jpg", "photos/2.jpg")


def test_list_images_of_a_table_finds_a_path_in_another_unicode_form(tmp_path: Path) -> None:
    make(tmp_path, unicodedata.normalize("NFD", "é.jpg"), "2.jpg")
    (tmp_path / "t.csv").write_text(unicodedata.normalize("NFC", "path,label\né.jpg,é\n2.jpg,b\n"), encoding="utf-8")
    images = list_images(tmp_path / "t.csv")
    assert images.paths == ("2.jpg", "é.jpg")
    assert all(file.is_file() for file in images.files())
    assert images.classes == ("b", "é")


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("filename,dx\nimg/1.jpg,a\n", "no column 'path'", "-s columns=path=filename"),
        ("path,diagnosis\nimg/1.jpg,a\n", "no column 'label'", "-s columns=label=diagnosis"),
        ("path,label\nimg/1.jpg,a\nimg/2.jpg,a\n", "one class only", "columns=label"),
        ("path,label\nimg/1.jpg,a\nimg/2.jpg,\n", "line 3 of .* lacks its label", "fill it in"),
        ("path,label\nimg/1.jpg,a\nimg/1.jpg,b\n", "has two different lines for img/1.jpg", "remove one"),
        ("path,label\nnowhere/1.jpg,a\nnowhere/2.jpg,b\n", "none of the images of .* exists", "relative to"),
        ("path,label,split\nimg/1.jpg,a,3\nimg/2.jpg,b,4\n", "has the split '[34]'", "columns=split"),
        ("path,label,split\nimg/1.jpg,a,train\nimg/2.jpg,b,\n", "line 3 of .* has no split", "train, valid or test"),
        ("path,label\nimg/1.jpg,a/b\nimg/2.jpg,c\n", "cannot be the name of a class", "rename"),
        ("path,label\n", "has no lines", "one line per image"),
        ("", "cannot be read", "UTF-8"),
    ],
)
def test_list_images_refuses_an_invalid_table(text: str, what: str, fix: str, tmp_path: Path) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=what) as caught:
        list_images(path, side=next(iter(sides_of(path)), Side.TRAIN))
    assert fix in caught.value.fix


def test_list_images_refuses_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        list_images(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        list_images(tmp_path / "labels.csv")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        list_images(tmp_path / "labels.parquet")


def test_list_images_refuses_a_label_that_the_model_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown classes: cat"):
        list_images(table(tmp_path, "path,label\n" + ROWS), ("bird", "dog"))


def test_list_images_counts_a_repeated_line_once(tmp_path: Path) -> None:
    images = list_images(table(tmp_path, "path,label\nimg/1.jpg,a\nimg/1.jpg,a\nimg/2.jpg,b\n"))
    assert images.paths == ("img/1.jpg", "img/2.jpg")
    assert images.notes == (f"1 line of {tmp_path / 'labels.csv'} is there twice",)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_list_images_finds_paths_without_suffix_and_with_spaces(suffix: str, tmp_path: Path) -> None:
    """As in the tables of food-101 and ISIC (fastai 937, isic-challenge-scoring 62)."""
    make(tmp_path, f"apple pie/10.0{suffix}", f"soup/11{suffix}")
    (tmp_path / "labels.csv").write_text("label, path\napple pie, apple pie/10.0\nsoup, soup/11\n")
    images = list_images(tmp_path / "labels.csv")
    assert images.paths == (f"apple pie/10.0{suffix}", f"soup/11{suffix}")
    assert images.classes == ("apple pie", "soup")


def test_list_images_of_a_table_has_one_root_for_all_splits(tmp_path: Path) -> None:
    make(tmp_path, "other/1.jpg", "t/p1/2.jpg", "t/p1/3.jpg", "t/p1/4.jpg")
    lines = ["../other/1.jpg,a,train", "p1/2.jpg,b,train", "p1/3.jpg,a,val", "p1/4.jpg,b,val", " , , ", ",,"]
    (tmp_path / "t/l.csv").write_text("path,label,split\n" + "\n".join(lines))
    for side in (Side.TRAIN, Side.VALID):
        images = list_images(tmp_path / "t/l.csv", ("a", "b"), side)
        assert images.root == tmp_path
        assert images.paths[-1].startswith("t/p1/")


def test_list_images_refuses_a_path_that_is_too_long(tmp_path: Path) -> None:
    images = list_images(table(tmp_path, f"path,label\nimg/1.jpg,a\n{'x' * 300},b\n"))
    assert len(images) == 2


def test_read_rows_refuses_a_pipe_and_a_folder_as_a_table(tmp_path: Path) -> None:
    """To read a pipe that nobody writes to would never end."""
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "pipe.parquet", "folder.csv"):
        with pytest.raises(DataError, match="it is a folder, a pipe or a device"):
            read_rows(tmp_path / name)
    with pytest.raises(DataError, match="is not a table"):
        sides_of(tmp_path / "pipe.csv")


def test_list_images_of_a_table_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(table(tmp_path, "path,label\n" + ROWS))
    assert len(list_images(tmp_path / "link.csv")) == 4
