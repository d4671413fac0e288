"""Changes labels of a table; all other cells stay the same."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.images import Images, Side
from harness.data.rewrite_table import rewritten
from harness.data.table import list_table
from harness.errors import DataError
from tests.conftest import write_files

IMAGES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_files(tmp_path, dict.fromkeys(IMAGES, b""))
    return tmp_path


def changed(
    home: Path, content: bytes, name: str = "t.csv", columns: tuple[str, ...] = (), **labels: str | None
) -> bytes:
    """The table after `labels`: letter of an image -> its label."""
    (home / name).write_bytes(content)
    labels_of = {home / f"{letter}.jpg": label for letter, label in labels.items()}
    return rewritten(home / name, columns, {Side.TRAIN: labels_of})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"path,label\na.jpg,sea\nb.jpg,forest\n", b"path,label\na.jpg,forest\nb.jpg,forest\n"),
        (
            b"\xef\xbb\xbfpath;label\r\na.jpg; sea \r\nb.jpg;forest",
            b"\xef\xbb\xbfpath;label\r\na.jpg; forest \r\nb.jpg;forest",
        ),
        (b'path,label\n"a.jpg","sea"\n\nb.jpg,forest\n', b'path,label\n"a.jpg","forest"\n\nb.jpg,forest\n'),
        (
            b"label\tx\tpath\nsea\t1.50\ta.jpg\nforest\t007\tb.jpg\n",
            b"label\tx\tpath\nforest\t1.50\ta.jpg\nforest\t007\tb.jpg\n",
        ),
        (
            b'note,path,label,more\n"two\nlines, ""quoted""",a.jpg,sea,=1+1\r\n, b.jpg ,forest,\n',
            b'note,path,label,more\n"two\nlines, ""quoted""",a.jpg,forest,=1+1\r\n, b.jpg ,forest,\n',
        ),
        (b"path,label\ra.jpg,sea\rb.jpg,forest\r", b"path,label\ra.jpg,forest\rb.jpg,forest\r"),
        (
            b'path,label\n5" a.jpg,sea\na.jpg,sea\nb.jpg,forest\n',
            b'path,label\n5" a.jpg,sea\na.jpg,forest\nb.jpg,forest\n',
        ),
        (b"path,label\na,sea\na.jpg,sea\nb.jpg,forest\n", b"path,label\na,forest\na.jpg,forest\nb.jpg,forest\n"),
    ],
)
def test_rewritten_changes_the_label_and_no_other_byte(home: Path, before: bytes, after: bytes) -> None:
    assert changed(home, before, a="forest") == after


def test_rewritten_removes_lines(home: Path) -> None:
    content = b'path,label,note\na.jpg,sea,"x\ny"\nb.jpg,forest,\nc.jpg,sea,z'
    assert changed(home, content, a=None) == b"path,label,note\nb.jpg,forest,\nc.jpg,sea,z"
    assert changed(home, content, c=None) == b'path,label,note\na.jpg,sea,"x\ny"\nb.jpg,forest,\n'


def test_rewritten_spells_a_label_as_in_the_table(home: Path) -> None:
    nfd = "e\u0301te\u0301".encode()
    content = b"path,label\na.jpg,sea\nb.jpg," + nfd + b"\n"
    assert changed(home, content, a="\u00e9t\u00e9") == b"path,label\na.jpg," + nfd + b"\nb.jpg," + nfd + b"\n"


def test_rewritten_quotes_a_label_that_needs_it(home: Path) -> None:
    content = b'path,label\na.jpg,sea\nb.jpg,"sand, ""fine"""\n'
    assert changed(home, content, a='sand, "fine"').splitlines()[1] == b'a.jpg,"sand, ""fine"""'


def test_rewritten_changes_the_lines_of_one_split(home: Path) -> None:
    content = b"path,label,split\na.jpg,sea,train\na.jpg,sea,test\nb.jpg,forest,train\n"
    (home / "t.csv").write_bytes(content)
    new = rewritten(home / "t.csv", (), {Side.TRAIN: {home / "a.jpg": None}, Side.TEST: {home / "a.jpg": "forest"}})
    assert new == b"path,label,split\na.jpg,forest,test\nb.jpg,forest,train\n"


def test_rewritten_takes_the_names_of_columns(home: Path) -> None:
    content = b"dx,image_id\nnv,a\nmel,b\n"
    assert changed(home, content, columns=("path=image_id", "label=dx"), a="mel") == b"dx,image_id\nmel,a\nmel,b\n"


def test_rewritten_changes_only_labels_in_random_tables(home: Path) -> None:
    """For tables of random pieces, either only the label changes, or the table is refused."""
    pieces = ['"', '""', ",", "\n", "\r\n", " ", "x", "é", '"a,b"', "a.jpg", "sea", "\\", "'"]
    random.seed(0)
    count = 0
    for _ in range(300):
        noise = "".join(random.choices(pieces, k=8))
        text = f"path,label,note\na.jpg,sea,{noise}\nb.jpg,forest,\nc.jpg,sea,\n"
        table = home / "t.csv"
        table.write_text(text, encoding="utf-8", newline="")
        try:
            before = list_table(table, None, Side.TRAIN)
        except DataError:
            continue
        if "c.jpg" not in before.paths:  # it is within quotes
            continue
        count += 1
        new = changed(home, text.encode(), c="forest")
        table.write_bytes(new)
        after = list_table(table, None, Side.TRAIN)
        assert named_labels(after) == named_labels(before) | {"c.jpg": "forest"}
        assert len(new) == len(text.encode()) + len("forest") - len("sea")
    assert count > 50


def named_labels(images: Images) -> dict[str, str]:
    return {path: images.classes[label] for path, label in zip(images.paths, images.labels, strict=True)}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_rewritten_parquet_keeps_types_metadata_and_compression(home: Path, kind: pa.DataType) -> None:
    schema = pa.schema([("path", pa.string()), ("label", kind), ("x", pa.float32())], metadata={"made": "by us"})
    arrays = [
        pa.array(["a.jpg", "b.jpg", "c.jpg"]),
        pa.array(["sea", "forest", "sea"], kind),
        pa.array([1, 2, None], pa.float32()),
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), home / "t.parquet", compression="zstd")
    content = (home / "t.parquet").read_bytes()
    (home / "t.parquet").write_bytes(changed(home, content, "t.parquet", a="forest", b=None))
    with pq.ParquetFile(home / "t.parquet") as file:
        read = file.read()
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert read.column("label").to_pylist() == ["forest", "sea"]
    assert read.column("x").to_pylist() == [1, None]
    assert read.schema.field("label").type == kind
    assert read.schema.metadata[b"made"] == b"by us"


def test_rewritten_parquet_keeps_labels_that_are_numbers(home: Path) -> None:
    table = pa.table({"path": ["a.jpg", "b.jpg"], "label": pa.array([1.0, 2.0])})
    pq.write_table(table, home / "t.parquet")
    content = (home / "t.parquet").read_bytes()
    (home / "t.parquet").write_bytes(changed(home, content, "t.parquet", a="2"))
    assert pq.read_table(home / "t.parquet").column("label").to_pylist() == [2.0, 2.0]
    with pytest.raises(DataError, match="cannot be rewritten"):
        changed(home, content, "t.parquet", a="sea")
