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


def test_the_listing_is_sorted_and_in_posix_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_no_image_is_counted_and_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/1.jpg", "b/notes.txt", "b/._1.jpg", "README.md", ".git/x.jpg", "b/.cache/x.jpg")
    images = list_images(tmp_path)
    assert images.classes == ("a", "b")
    assert images.ignored == ("README.md", "b/._1.jpg", "b/notes.txt")
    assert images.counts() == {"a": 1, "b": 1}


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/1.jpg")
    try:
        (tmp_path / "a/loop").symlink_to(tmp_path / "a", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert list_images(tmp_path).paths == ("a/1.jpg", "b/1.jpg")


def test_a_link_to_other_classes_does_not_make_their_images_ones_own(tmp_path: Path) -> None:
    make(tmp_path, "forest/1.jpg", "sea/1.jpg")
    (tmp_path / "sea/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sea/aside").symlink_to(tmp_path / "forest", target_is_directory=True)
    assert list_images(tmp_path).paths == ("forest/1.jpg", "sea/1.jpg")


def test_known_classes_are_matched_by_name_never_by_position(tmp_path: Path) -> None:
    make(tmp_path, "sea/1.jpg", "zoo/1.jpg")
    images = list_images(tmp_path, classes=["zoo", "forest", "sea"])
    assert images.classes == ("zoo", "forest", "sea")
    assert dict(zip(images.paths, images.labels, strict=True)) == {"sea/1.jpg": 2, "zoo/1.jpg": 0}
    assert images.counts() == {"zoo": 1, "forest": 0, "sea": 1}


def test_an_unknown_class_is_refused_with_both_lists_and_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "sea/1.jpg", "forrest/1.jpg")
    with pytest.raises(DataError) as caught:
        list_images(tmp_path, classes=["forest", "sea"])
    assert "forrest; did you mean 'forest'?" in caught.value.what
    assert "knows forest, sea" in caught.value.why
    assert "holds forrest, sea" in caught.value.why


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["loose.jpg"], "its images lie loose"),
        (["notes.txt"], "it holds no folders"),
        (["sea/1.jpg"], "one class only"),
        (["sea/1.jpg", "forest/notes.txt"], "class 'forest' is empty"),
    ],
)
def test_folders_that_are_no_data_set(paths: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_images(make(tmp_path, *paths))
    assert message in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there") as caught:
        list_images(tmp_path / "data")
    assert "harness data demo" in caught.value.fix
    make(tmp_path, "file")
    with pytest.raises(DataError, match="is no folder"):
        list_images(tmp_path / "file")


def test_a_folder_that_dvc_tracks_but_has_not_fetched(tmp_path: Path) -> None:
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


def test_list_images_takes_a_class_that_the_model_knows_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, "mlruns/1.jpg", "dog/1.jpg")
    assert list_images(tmp_path, ("dog", "mlruns")).counts() == {"dog": 1, "mlruns": 1}
