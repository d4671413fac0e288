"""Finds files for paths, folders and patterns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.data.check import content_of
from harness.data.named_images import NamedImages


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(*typed: object, leave_out: tuple[Path, ...] = ()) -> list[str]:
    return [str(path) for path in NamedImages(map(str, typed), leave_out)]


def test_named_images_walks_folders_in_order_without_foreign_files(tmp_path: Path) -> None:
    root = made(tmp_path, "b/2.JPG", "b/1.png", "a.jpg", "note.txt", ".hidden/x.jpg", "__MACOSX/y.jpg", "b/._1.png")
    images = NamedImages([str(root)])
    assert [path.relative_to(root).as_posix() for path in images] == ["a.jpg", "b/1.png", "b/2.JPG"]
    assert images.others == 2  # the text file, and macOS's metadata of an image
    assert images.count() == 3
    assert images.others == 2  # counted once, not twice


def test_named_images_follows_a_link_once(tmp_path: Path) -> None:
    root = made(tmp_path, "photos/a.jpg", "photos/in/b.jpg")
    (root / "photos/in/loop").symlink_to(root / "photos")
    assert len(found(root / "photos")) == 2


def test_named_images_leaves_out_the_output_folder(tmp_path: Path) -> None:
    root = made(tmp_path, "a.jpg", "sorted/sea/a.jpg")
    assert found(root, leave_out=(root / "sorted",)) == [str(root / "a.jpg")]


def test_named_images_takes_patterns_and_files_named_like_patterns(tmp_path: Path) -> None:
    root = made(tmp_path, "a1.jpg", "a2.jpg", "a.txt", "photo[1].jpg", "in/a3.jpg")
    assert found(root / "a*") == [str(root / "a1.jpg"), str(root / "a2.jpg")]
    assert found(root / "photo[1].jpg") == [str(root / "photo[1].jpg")]
    assert found(root / "**/a*.jpg") == [str(root / name) for name in ("a1.jpg", "a2.jpg", "in/a3.jpg")]


def test_named_images_keeps_a_missing_file(tmp_path: Path) -> None:
    """It is named and counted, like other files that cannot be read."""
    assert found(tmp_path / "none.jpg", tmp_path / "none*.jpg") == [
        str(tmp_path / "none.jpg"),
        str(tmp_path / "none*.jpg"),
    ]


def test_named_images_names_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a/1.jpg", "b/2.jpg")
    scan = os.scandir

    def refused(path: str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)  # root can read everything, so the refusal is faked
    assert list(NamedImages([str(tmp_path)])) == [tmp_path / "a/1.jpg", tmp_path / "b"]
    assert content_of(tmp_path / "b") == (b"", "a folder")


def test_named_images_keeps_an_invalid_name() -> None:
    assert list(NamedImages(["a" * 5000])) == [Path("a" * 5000)]
    assert content_of(Path("a" * 5000)) == (b"", "File name too long")
