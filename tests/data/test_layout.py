from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest

from harness.data.images import Side
from harness.data.layout import find_layout, side_of
from harness.data.listing import list_images, sides_of
from harness.errors import DataError
from tests.data.test_folders import make

CAFE, CAFE_NFD = "Café", unicodedata.normalize("NFD", "Café")


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Testing"),
        ("training_set", "validation_set", "test_set"),
        ("seg_train", "seg_dev", "seg_test"),  # as in the Intel scenes on Kaggle
        ("train2017", "val2017", "test2017"),
        ("Training Data", "Validation Data", "Test Data"),
    ],
)
def test_list_images_lists_each_split_of_a_split_folder(train: str, valid: str, test: str, tmp_path: Path) -> None:
    names = [f"{side}/{name}/{side}{i}.jpg" for side in (train, valid, test) for name in ("cat", "dog") for i in "12"]
    root = make(tmp_path / "pets", *names, "README.md")
    for side, folder in zip(Side, (train, valid, test), strict=True):
        images = list_images(root, side=side)
        assert images.root == root / folder
        assert images.counts() == {"cat": 2, "dog": 2}
        assert images.paths[0] == f"cat/{folder}1.jpg"
    (note,) = list_images(root).notes
    assert note == (
        f"{root} is split into folders: {train}/ for training, {valid}/ for validation, {test}/ for the test"
    )


def test_list_images_goes_down_in_each_split(tmp_path: Path) -> None:
    root = make(
        tmp_path,
        *(f"archive/seg_{side}/seg_{side}/{name}/1.jpg" for side in ("train", "test") for name in ("sea", "forest")),
        "archive/seg_pred/seg_pred/1.jpg",
        "archive/seg_val/seg_val/1.jpg",
    )
    assert list_images(root, side=Side.TEST).root == root / "archive/seg_test/seg_test"
    assert sides_of(root) == {
        Side.TRAIN: str(root / "archive/seg_train/seg_train"),
        Side.TEST: str(root / "archive/seg_test/seg_test"),
    }
    assert list_images(root).classes == ("forest", "sea")


def test_list_images_refuses_a_test_folder_without_class_folders(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "test/2.jpg")
    images = list_images(root)
    assert images.classes == ("cat", "dog")
    assert images.notes[1] == f"{root}/test has no class folders: its images have no labels, and are not used"
    with pytest.raises(DataError, match="has no labelled images for test") as caught:
        list_images(root, ("cat", "dog"), Side.TEST)
    assert caught.value.fix == f"--data {root}/train for the training images"


def test_find_layout_ignores_folders_without_class_folders(tmp_path: Path) -> None:
    """As in fastai 2336 (a flat test/ and a table) and perceptionCLIP 3 (ImageNet's flat val/)."""
    root = make(tmp_path, "train/0/1.png", "train/1/1.png", "test/1.png", "val/1.png", "labels.csv")
    images = list_images(root)
    assert images.classes == ("0", "1")
    assert sides_of(root) == {Side.TRAIN: f"{root}/train"}
    assert len(images.notes) == 3


def test_find_layout_refuses_splits_without_class_folders(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat.1.jpg", "train/dog.1.jpg", "test/1.jpg")  # as in Kaggle's dogs and cats
    with pytest.raises(DataError, match="has no classes") as caught:
        list_images(root)
    assert "-s data=labels.csv" in caught.value.fix
    assert list_images(root, class_folder="outer").classes == ("test", "train")


@pytest.mark.parametrize("names", [("bus", "car", "train"), ("train station", "test track"), ("valley", "tester")])
def test_find_layout_accepts_classes_with_the_words_of_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    images = list_images(make(tmp_path, *(f"{name}/1.jpg" for name in names)))
    assert images.classes == tuple(sorted(names))
    assert images.notes == ()


def test_find_layout_accepts_a_known_class_named_train(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
    assert list_images(root, ("test", "train")).counts() == {"test": 1, "train": 2}


def test_find_layout_refuses_two_folders_for_one_split(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{side}/{name}/1.jpg" for side in ("train", "test1", "test2") for name in "ab"))
    with pytest.raises(DataError, match="2 folders for test: test1, test2") as caught:
        list_images(root)
    assert f"-s data={root}/train -s test_data={root}/test1" in caught.value.fix


def test_find_layout_refuses_splits_beside_another_folder(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{side}/{name}/1.jpg" for side in ("train", "val") for name in "ab"), "notes/x.txt")
    with pytest.raises(DataError, match="is not only split") as caught:
        list_images(root)
    assert f"-s data={root}/train" in caught.value.fix


@pytest.mark.parametrize(
    ("outer", "inner"), [(("siteA", "siteB"), ("benign", "malignant")), (("2023", "2024"), ("cat", "dog"))]
)
def test_find_layout_refuses_two_possible_levels_and_names_both_commands(
    outer: tuple[str, ...], inner: tuple[str, ...], tmp_path: Path
) -> None:
    root = make(tmp_path, *(f"{a}/{b}/{a}.jpg" for a in outer for b in inner))
    with pytest.raises(DataError, match="two levels of folders") as caught:
        list_images(root)
    assert "-s class_folder=inner" in caught.value.fix
    assert "-s class_folder=outer" in caught.value.fix
    assert list_images(root, class_folder="outer").classes == outer
    images = list_images(root, class_folder="inner")
    assert images.classes == inner
    assert images.counts() == {inner[0]: 2, inner[1]: 2}
    assert images.paths[0] == f"{outer[0]}/{inner[0]}/{outer[0]}.jpg"


@pytest.mark.parametrize(
    "paths",
    [
        ("n01/images/1.jpg", "n02/images/1.jpg"),  # as in Tiny ImageNet
        ("cat/indoor/1.jpg", "dog/outdoor/1.jpg"),
        ("cat/p1/1.jpg", "cat/p2/1.jpg", "dog/p3/1.jpg"),
        ("cat/left/1.jpg", "dog/left/1.jpg", "cat/right/1.jpg", "dog/right/1.jpg", "dog/1.jpg"),
    ],
)
def test_find_layout_accepts_folders_in_class_folders(paths: tuple[str, ...], tmp_path: Path) -> None:
    images = list_images(make(tmp_path, *paths))
    assert len(images.classes) == 2
    assert len(images) == len(paths)


def test_find_layout_goes_down_a_single_folder_and_notes_it(tmp_path: Path) -> None:
    root = make(
        tmp_path / "photos", "photos/cat/1.jpg", "photos/dog/1.jpg", "__MACOSX/x/1.jpg", "README.md", "cover.jpg"
    )
    images = list_images(root)
    assert images.root == root / "photos"
    assert images.notes == (f"{root} contains only photos/, whose folders are the classes",)
    assert list_images(root, ("cat", "dog"), Side.TEST).paths == images.paths


def test_list_images_suggests_the_folder_above_only_if_it_has_classes(tmp_path: Path) -> None:
    make(tmp_path, "photos/cat/1.jpg", "photos/dog/1.jpg", "alone/cat/1.jpg")
    with pytest.raises(DataError) as caught:
        list_images(tmp_path / "photos/cat")
    assert caught.value.fix == f"-s data={tmp_path}/photos, if 'cat' is one of the classes"
    with pytest.raises(DataError) as caught:
        list_images(tmp_path / "alone/cat")
    assert "alone" not in caught.value.fix


def test_list_images_joins_a_class_in_two_unicode_forms(tmp_path: Path) -> None:
    make(tmp_path, f"train/{CAFE}/{CAFE}.jpg", "train/dog/1.jpg", f"test/{CAFE_NFD}/{CAFE_NFD}.jpg", "test/dog/1.jpg")
    images = list_images(tmp_path / "train")
    test = list_images(tmp_path / "test", images.classes)
    assert test.classes == images.classes == (CAFE, "dog")
    assert test.paths == images.paths == (f"{CAFE}/{CAFE}.jpg", "dog/1.jpg")
    assert all(file.is_file() for file in (*images.files(), *test.files()))


def test_list_images_refuses_two_folders_that_differ_only_in_unicode_form(tmp_path: Path) -> None:
    make(tmp_path, f"{CAFE}/1.jpg", f"{CAFE_NFD}/2.jpg", "dog/1.jpg")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system knows one form only")
    with pytest.raises(DataError, match="twice") as caught:
        list_images(tmp_path)
    assert "NFC and NFD" in caught.value.why
    shutil.rmtree(tmp_path / CAFE_NFD)
    assert list_images(tmp_path).classes == (CAFE, "dog")


def test_side_of_returns_the_other_words_of_a_name() -> None:
    assert side_of("seg_train") == (Side.TRAIN, ("seg",))
    assert side_of("seg_pred") == (None, ("seg",))
    assert side_of("Test-Set") == (Side.TEST, ())
    assert side_of("bus") == (None, None)
    assert side_of("train_test") == (None, None)


def test_find_layout_ends_in_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    try:
        (tmp_path / "a/up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert find_layout(tmp_path).root in (tmp_path, tmp_path / "a")


def test_find_layout_refuses_splits_beside_a_folder_of_loose_images(tmp_path: Path) -> None:
    root = make(
        tmp_path, *(f"{side}/{name}/1.jpg" for side in ("train", "val") for name in ("cat", "dog")), "samples/1.jpg"
    )
    with pytest.raises(DataError, match="is not only split") as caught:
        list_images(root)
    assert f"-s data={root}/train" in caught.value.fix


def test_list_images_applies_class_folder_to_each_split(tmp_path: Path) -> None:
    names = [f"{side}/{name}/p{i}/1.jpg" for side in ("train", "val") for name in ("cat", "dog") for i in "12"]
    root = make(tmp_path, *names)
    with pytest.raises(DataError, match="two levels"):
        list_images(root)
    assert list_images(root, class_folder="outer").classes == ("cat", "dog")
    assert list_images(root, ("cat", "dog"), Side.VALID, class_folder="outer").root == root / "val"


def test_find_layout_does_not_go_down_in_a_split_with_one_class(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/p1/1.jpg", "val/cat/p2/1.jpg")
    assert list_images(root, ("cat", "dog"), Side.VALID).counts() == {"cat": 2, "dog": 0}


def test_find_layout_refuses_a_split_with_other_spellings_of_classes(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/Cat/1.jpg", "val/Dog/1.jpg")
    with pytest.raises(DataError, match="spells classes differently from the training images: Cat, Dog"):
        list_images(root)
