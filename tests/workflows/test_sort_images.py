"""Tests of copying images to one folder per class."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DataError, StorageError, UsageError
from harness.workflows.predict.sort import SortedImages


def photo(path: Path, content: bytes = b"1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_copy_overwrites_no_file(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["sea", "forest"])
    one, other = photo(tmp_path / "a/x.jpg"), photo(tmp_path / "b/x.jpg", b"2")
    assert made.copy(one, "sea") == tmp_path / "out/sea/x.jpg"
    assert made.copy(other, "sea") == tmp_path / "out/sea/x-2.jpg"
    assert (tmp_path / "out/sea/x.jpg").read_bytes() == b"1"
    assert made.copy(other, "sea") == tmp_path / "out/sea/x-2.jpg"  # the same bytes already exist
    assert (made.copied, made.already_there) == (2, 1)
    assert made.copy(one, None) == tmp_path / "out/unsure/x.jpg"
    assert one.exists()
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.parametrize(
    "name", ["../up", "/etc", "a/b", "..", ".", "", "C:\\x", "nul", "con.txt", "x\n\x1b[2J", "a" * 300, "海" * 120]
)
def test_copy_stays_in_the_folder_with_odd_class_names(tmp_path: Path, name: str) -> None:
    made = SortedImages(tmp_path / "out", [name, "sea"])
    place = made.copy(photo(tmp_path / "x.jpg"), name)
    assert place.resolve().parents[1] == tmp_path / "out"
    assert place.parent.name.isprintable()
    assert place.parent.name not in ("", ".", "..")


def test_copy_separates_classes_that_differ_only_in_case(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["Sea", "sea", "a/b", "a:b", "unsure"])
    image = photo(tmp_path / "x.jpg")
    places = [made.copy(image, name) for name in ("Sea", "sea", "a/b", "a:b", "unsure", None)]
    assert len({str(place.parent).lower() for place in places}) == 6


def test_copy_refuses_a_link_out_of_the_folder(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["sea"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/sea").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="points outside the folder"):
        made.copy(photo(tmp_path / "x.jpg"), "sea")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_copy_refuses_a_missing_image_and_a_file_as_folder(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["sea"])
    with pytest.raises(DataError, match="is missing"):
        made.copy(tmp_path / "none.jpg", "sea")
    with pytest.raises(UsageError, match="is not a folder"):
        SortedImages(photo(tmp_path / "file"), ["sea"])
    photo(tmp_path / "out/forest")
    with pytest.raises(StorageError):
        SortedImages(tmp_path / "out", ["forest"]).copy(photo(tmp_path / "x.jpg"), "forest")


def test_copy_accepts_the_longest_names_of_a_disk(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["sea"])
    name = "é" * 125 + ".jpg"  # 254 bytes
    assert made.copy(photo(tmp_path / "a" / name), "sea").name == name
    second = made.copy(photo(tmp_path / "b" / name, b"2"), "sea")
    assert second.name.endswith("é-2.jpg")
    assert second.read_bytes() == b"2"


def test_copy_separates_classes_that_differ_only_in_unicode_form(tmp_path: Path) -> None:
    made = SortedImages(tmp_path / "out", ["caf\u00e9", "cafe\u0301"])
    homes = {made.copy(photo(tmp_path / "x.jpg"), name).parent.name for name in ("caf\u00e9", "cafe\u0301")}
    assert homes == {"caf\u00e9", "cafe\u0301_2"}
