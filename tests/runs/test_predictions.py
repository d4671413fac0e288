from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.evaluation.predictions import Predictions
from harness.runs import predictions as stored
from harness.runs.predictions import predictions_csv, read_array_file, read_csv, write_array_file, write_table
from harness.util.schema import SchemaError

ODD = Predictions(
    ("ça", 'a "b"', "x,y"),
    ("ça/\udcff,1.jpg", 'a "b"/new\nline.jpg', "=1+1.jpg"),
    np.array([12, 12, 12]),
    np.array([0, 1, 2]),
    np.array([(1 / 3, 1e-300, 2 / 3), (0.1, 0.9, 0.0), (0.0, 0.0, 1.0)]),
)

GROUPS, FINGERPRINTS = np.array([0, 1, 1]), np.array([-(2**63), 0, 2**63 - 1])


def some(n: int, classes: int, fold: int = 1) -> Predictions:
    rng = np.random.default_rng(fold)
    paths = tuple(f"{fold}/{number}.jpg" for number in range(n))
    names = tuple(f"c{number}" for number in range(classes))
    probabilities = rng.dirichlet(np.ones(classes), n)
    return Predictions(names, paths, np.full(n, fold), rng.integers(0, classes, n), probabilities)


def test_predictions_csv_has_one_line_per_image() -> None:
    shares = np.array([[0.25, 0.75]])
    row = Predictions(("forest", "sea"), ('sea/a, "b".jpg',), np.array([2]), np.array([1]), shares)
    table = predictions_csv([row]).decode()
    assert table == 'path,fold,label,predicted,p_forest,p_sea\n"sea/a, ""b"".jpg",2,sea,sea,0.25,0.75\n'


def test_read_csv_returns_what_predictions_csv_has_written() -> None:
    assert read_csv(predictions_csv([ODD])) == ODD
    for optional in ({"fingerprints": FINGERPRINTS}, {"groups": GROUPS, "fingerprints": FINGERPRINTS}):
        whole = dataclasses.replace(ODD, **optional)
        again = read_csv(predictions_csv([whole]))
        assert again == whole
        assert again.fingerprints is not None
        assert again.fingerprints.tolist() == FINGERPRINTS.tolist()
    empty = read_csv(predictions_csv([Predictions.none(ODD.classes)]))
    assert empty == Predictions.none(ODD.classes)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"hello\n",
        predictions_csv([ODD]).replace(b",12,", b",?,"),
        predictions_csv([ODD]).replace(b"0.9", b"9.0"),
        predictions_csv([ODD]).replace(b'"x,y",0.33', b"nobody,0.33"),
        predictions_csv([ODD]).replace(b'"x,y",0.33', "ça,0.33".encode()),
        predictions_csv([ODD]).replace(b",1.0", b""),
        predictions_csv([ODD]).replace(b"0.0,0.0,1.0", b"nan,0.0,1.0"),
    ],
)
def test_read_csv_refuses_a_damaged_table(damaged: bytes) -> None:
    assert damaged != predictions_csv([ODD])
    with pytest.raises(SchemaError):
        read_csv(damaged)


def test_read_array_file_returns_what_write_array_file_has_written(tmp_path: Path) -> None:
    write_array_file(tmp_path / "fold12.npz", ODD)
    assert read_array_file(tmp_path / "fold12.npz", 12) == ODD
    none = Predictions.none(ODD.classes)
    write_array_file(tmp_path / "none.npz", none)
    assert read_array_file(tmp_path / "none.npz", 1) == none


def crafted(path: Path, **changes: object) -> Path:
    write_array_file(path, ODD)
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays} | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([0, 1, 3])},
        {"labels": np.array([0, 1, -1])},
        {"labels": np.array([0, 1])},
        {"labels": np.array([0.0, 1.0, 2.0])},
        {"labels": np.array([object()] * 3)},
        {"labels": None},
        {"extra": np.zeros(3)},
        {"paths": np.frombuffer(b"a\0b\0../c", np.uint8)},
        {"paths": np.frombuffer(b"a\0b\0/etc/c", np.uint8)},
        {"paths": np.array(["a", "b", "c"])},
        {"probabilities": ODD.probabilities.astype(np.float32)},
        {"probabilities": ODD.probabilities[:, :2]},
        {"probabilities": ODD.probabilities + np.nan},
        {"probabilities": 2 * ODD.probabilities},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_read_array_file_refuses_a_crafted_file(changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SchemaError):
        read_array_file(crafted(tmp_path / "fold1.npz", **changes), 1)


def test_read_array_file_refuses_files_that_could_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "fold1.npz"
    np.savez_compressed(path, classes=np.zeros(1, np.uint8), paths=np.zeros(1, np.uint8), labels=0, probabilities=0)
    with pytest.raises(SchemaError, match="compressed"):
        read_array_file(path, 1)
    write_array_file(path, ODD)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["labels.npy"] = parts["labels.npy"].replace(b"(3,), }          ", b"(9999999999999,), }")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(SchemaError, match="larger than its file"):
        read_array_file(path, 1)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(SchemaError, match="not an array file"):
        read_array_file(path, 1)


def test_write_table_is_parquet_above_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [some(30, 5), some(20, 5, fold=2)]
    monkeypatch.setattr(stored, "CELLS", 150)
    monkeypatch.setattr(stored, "ROWS", 16)
    write_table(tmp_path, parts[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    write_table(tmp_path, parts)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    both = Predictions.join(parts)
    assert table["path"] == list(both.paths)
    assert table["fold"] == both.folds.tolist()
    assert table["label"] == [both.classes[label] for label in both.labels]
    assert table["predicted"] == [both.classes[top] for top in both.predicted]
    assert np.array_equal(np.array([table[f"p_c{i}"] for i in range(5)]).T, both.probabilities)


def test_write_table_accepts_names_that_are_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "CELLS", 0)
    write_table(tmp_path, [ODD])
    assert pq.read_table(tmp_path / "predictions.parquet")["path"][0].as_py() == "ça/?,1.jpg".replace("?", "\ufffd")


def test_predictions_with_groups_are_written_and_read(tmp_path: Path) -> None:
    plain = some(5, 2)
    grouped = dataclasses.replace(plain, groups=np.array([0, 0, 3, 3, 4]))
    write_array_file(tmp_path / "fold1.npz", grouped)
    assert read_array_file(tmp_path / "fold1.npz", 1) == grouped
    assert read_csv(predictions_csv([grouped])) == grouped
    assert predictions_csv([grouped]).startswith(b"path,fold,label,predicted,groups,p_c0,p_c1\n")
    many = dataclasses.replace(some(11, 2), groups=np.arange(11) // 2)
    assert stored.CELLS > 22
    write_table(tmp_path, [many])
    assert read_csv((tmp_path / "predictions.csv").read_bytes()) == many
    odd = dataclasses.replace(plain, groups=np.zeros(5, np.float32))
    write_array_file(tmp_path / "fold2.npz", odd)
    with pytest.raises(SchemaError, match="groups have another dtype"):
        read_array_file(tmp_path / "fold2.npz", 1)


def test_write_table_writes_groups_to_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "CELLS", 3)
    grouped = dataclasses.replace(some(5, 2), groups=np.array([0, 0, 3, 3, 4]))
    write_table(tmp_path, [grouped])
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert table["groups"] == [0, 0, 3, 3, 4]
    assert list(table) == ["path", "fold", "label", "predicted", "groups", "p_c0", "p_c1"]
