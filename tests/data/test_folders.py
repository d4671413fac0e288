from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.data.listing import list_images
from harness.errors import DataError
from harness.versioning.tracked import tracking_file


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def test_list_images_returns_sorted_posix_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "sea/b.jpg", "sea/a.PNG", "forest/z/c.jpeg", "forest/a.jpg")
    (tmp_path / "forest/alias").symlink_to(tmp_path / "forest/z", target_is_directory=True)
    images = list_images(tmp_path)
    assert images.classes == ("forest", "sea")
    assert images.paths == ("forest/a.jpg", "forest/alias/c.jpeg", "sea/a.PNG", "sea/b.jpg")
    assert images.labels == (0, 0, 1, 1)
    real_walk = os.walk

    def backwards(top, **options):  # type: ignore[no-untyped-def]
        for folder, folders, files in real_walk(top, **options):
            folders.sort(reverse=True)
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert list_images(tmp_path) == images


def test_list_images_counts_and_leaves_out_other_files(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/1.jpg", "b/notes.txt", "b/._1.jpg", "README.md", ".git/x.jpg", "b/.cache/x.jpg")
    images = list_images(tmp_path)
    assert images.classes == ("a", "b")
    assert images.ignored == ("README.md", "b/._1.jpg", "b/notes.txt")
    assert images.counts() == {"a": 1, "b": 1}


def test_list_images_ends_in_a_loop_of_links(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/1.jpg")
    try:
        (tmp_path / "a/loop").symlink_to(tmp_path / "a", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert list_images(tmp_path).paths == ("a/1.jpg", "b/1.jpg")


def test_list_images_does_not_follow_a_link_to_another_class(tmp_path: Path) -> None:
    make(tmp_path, "forest/1.jpg", "sea/1.jpg")
    (tmp_path / "sea/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sea/aside").symlink_to(tmp_path / "forest", target_is_directory=True)
    assert list_images(tmp_path).paths == ("forest/1.jpg", "sea/1.jpg")


def test_list_images_matches_known_classes_by_name(tmp_path: Path) -> None:
    make(tmp_path, "sea/1.jpg", "zoo/1.jpg")
    images = list_images(tmp_path, classes=["zoo", "forest", "sea"])
    assert images.classes == ("zoo", "forest", "sea")
    assert dict(zip(images.paths, images.labels, strict=True)) == {"sea/1.jpg": 2, "zoo/1.jpg": 0}
    assert images.counts() == {"zoo": 1, "forest": 0, "sea": 1}


def test_list_images_refuses_an_unknown_class_and_names_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "sea/1.jpg", "forrest/1.jpg")
    with pytest.raises(DataError) as caught:
        list_images(tmp_path, classes=["forest", "sea"])
    assert "forrest; did you mean 'forest'?" in caught.value.what
    assert "knows forest, sea" in caught.value.why
    assert "contains forrest, sea" in caught.value.why


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["loose.jpg"], "its images are not in class folders"),
        (["notes.txt"], "it contains no folders"),
        (["sea/1.jpg"], "one class only"),
        (["sea/1.jpg", "forest/notes.txt"], "class 'forest' is empty"),
    ],
)
def test_list_images_refuses_a_folder_that_is_not_a_data_set(paths: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_images(make(tmp_path, *paths))
    assert message in str(caught.value)


def test_list_images_refuses_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there") as caught:
        list_images(tmp_path / "data")
    assert "harness data demo" in caught.value.fix
    make(tmp_path, "file")
    with pytest.raises(DataError, match="is not a folder"):
        list_images(tmp_path / "file")


def test_list_images_suggests_data_ready_for_a_folder_tracked_by_dvc(tmp_path: Path) -> None:
    make(tmp_path, "data.dvc")
    assert tracking_file(tmp_path / "data" / "train") == tmp_path / "data.dvc"
    with pytest.raises(DataError) as caught:
        list_images(tmp_path / "data" / "train")
    assert caught.value.fix == f"harness data ready {tmp_path / 'data'}"


FOREIGN = (
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "mlruns",
    "@Recycle",
    ".thumbnails",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_list_images_leaves_out_folders_of_other_programs(tmp_path: Path, name: str) -> None:
    plain = list_images(make(tmp_path / "plain", "cat/1.jpg", "dog/1.jpg"))
    root = make(tmp_path / "root", "cat/1.jpg", "dog/1.jpg", f"{name}/cat/2.jpg", f"cat/{name}/1.jpg/thumb.jpg")
    make(root, f"dog/deep/{name}/3.jpg", f"dog/deep/{name}/4.jpg")
    images = list_images(root)
    assert (images.classes, images.paths, images.labels) == (plain.classes, plain.paths, plain.labels)
    assert images.foreign == {name: 1, f"cat/{name}": 1, f"dog/deep/{name}": 2}
    assert images.ignored == ()


def test_list_images_leaves_out_the_output_of_harness_and_keeps_a_class_of_that_name(tmp_path: Path) -> None:
    output = make(tmp_path / "output", "cat/1.jpg", "dog/1.jpg", "runs/tiny/20260101-000000-abcd/plots/1.png")
    make(output, "runs/tiny/20260101-000000-abcd/run.json")
    images = list_images(output)
    assert images.classes == ("cat", "dog")
    assert images.foreign == {"runs": 2}
    assert list_images(make(tmp_path / "sports", "runs/1.jpg", "jumps/1.jpg")).classes == ("jumps", "runs")


def test_list_images_leaves_out_the_folders_of_a_project(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.jpg", "dog/1.jpg", "experiments/quickstart.py", "models/champion.json")
    assert list_images(tmp_path).foreign == {"experiments": 1, "models": 1}
    images = make(tmp_path / "others", "experiments/1.jpg", "models/1.jpg")
    assert list_images(images).classes == ("experiments", "models")


def test_list_images_takes_a_known_class_with_the_name_of_a_foreign_folder(tmp_path: Path) -> None:
    make(tmp_path, "mlruns/1.jpg", "dog/1.jpg")
    assert list_images(tmp_path, ("dog", "mlruns")).counts() == {"dog": 1, "mlruns": 1}
