"""Tests of `harness data check` on a valid data set, and on data sets with planted problems."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.config.experiment import Experiment
from harness.errors import DataError, ModelError, UsageError
from harness.runs.data_check_record import CopyKind, DataCheckRecord, OddKind
from harness.runs.run_folder import RunFolder
from harness.workflows.check_data.check import CheckOptions, check_data
from harness.workflows.crossval import cross_validate
from tests.data.test_near_copies import CHANGES, saved, textures
from tests.toy import SMALL

HOME = Path("photos")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of two classes: 30 of each for training, and 10 of each for the test."""
    monkeypatch.chdir(tmp_path)
    images = iter(textures(80, seed=1))
    for side, count in (("train", 30), ("test", 10)):
        for label in ("a", "b"):
            folder = HOME / side / label
            folder.mkdir(parents=True)
            for number in range(count):
                next(images).save(folder / f"{number:02d}.jpg", quality=90)
    return HOME


def checked(**fields: object) -> DataCheckRecord:
    experiment = dataclasses.replace(SMALL, name="", folds=3).override({"data": str(HOME)})
    return check_data(experiment.found(fields, "command line"))


def pairs(record: DataCheckRecord) -> dict[tuple[str, str], tuple[CopyKind, str]]:
    return {
        (found.images[link.first].path, found.images[link.second].path): (link.kind, link.transform)
        for found in record.copies
        for link in found.links
    }


def change(source: str, target: str, how: Callable[[Image.Image], Image.Image]) -> None:
    how(Image.open(HOME / source).convert("RGB")).save(HOME / target, quality=90)


def test_check_data_finds_nothing_in_valid_images(photos: Path) -> None:
    record = checked()
    assert record.counts == {"train": {"a": 30, "b": 30}, "test": {"a": 10, "b": 10}}
    assert (record.copies, record.scenes, record.suspects, record.odd, record.pairs) == ([], [], [], [], 0)
    assert record.shortcut is not None
    assert not record.shortcut.is_found
    assert [side.second for side in record.sides] == ["test"]
    assert record.sides[0].interval[0] < 0.5 < record.sides[0].interval[1]
    assert (record.folds, record.n, record.folder, record.test_data) == (3, 80, "photos", "photos/test")
    assert any("labels" in note for note in record.notes)


def test_check_data_finds_planted_copies_and_odd_images(photos: Path) -> None:
    shutil.copy(HOME / "train/a/03.jpg", HOME / "train/a/again.jpg")
    Image.open(HOME / "train/b/05.jpg").save(HOME / "train/b/as.png")
    change("train/a/07.jpg", "train/b/wrong.jpg", lambda image: saved(image, 50))
    change("train/b/09.jpg", "test/b/leak.jpg", ImageOps.mirror)
    Image.new("RGB", (96, 96), "white").save(HOME / "train/a/blank.jpg")
    (HOME / "train/b/damaged.jpg").write_bytes((HOME / "train/b/01.jpg").read_bytes()[:700])
    record = checked()
    assert pairs(record) == {
        ("train/a/07.jpg", "train/b/wrong.jpg"): (CopyKind.NEAR_COPY, ""),
        ("train/b/09.jpg", "test/b/leak.jpg"): (CopyKind.NEAR_COPY, "mirrored"),
        ("train/a/03.jpg", "train/a/again.jpg"): (CopyKind.SAME_FILE, ""),
        ("train/b/05.jpg", "train/b/as.png"): (CopyKind.SAME_PIXELS, ""),
    }
    gravest, leak, *exact = record.copies
    assert gravest.is_contradiction
    assert leak.between_sides
    assert [found.is_exact and not found.between_folds for found in exact] == [True, True]
    odd = {image.image.path: image.kind for image in record.odd}
    assert odd == {"train/a/blank.jpg": OddKind.BLANK, "train/b/damaged.jpg": OddKind.UNREADABLE}
    assert record.pairs == 4


def test_check_data_finds_near_copies_in_different_folds(photos: Path) -> None:
    for number in range(12):
        change(f"train/a/{number:02d}.jpg", f"train/a/copy{number:02d}.jpg", CHANGES["cropped"])
    record = checked()
    assert len(record.copies) == 12
    assert 4 <= sum(found.between_folds for found in record.copies) < 12  # two of three copies fall into two folds
    assert not any(found.between_sides or found.is_contradiction for found in record.copies)


def test_check_data_finds_the_file_format_as_a_shortcut(photos: Path) -> None:
    for path in (HOME / "train/a").glob("*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    shortcut = checked().shortcut
    assert shortcut is not None
    assert shortcut.is_found
    assert (shortcut.accuracy, shortcut.n, shortcut.baseline) == (1, 60, 0.5)
    assert ("format", "PNG", "a", (30, 30), (0, 30)) in [
        (value.fact, value.value, value.label, tuple(value.of_class), tuple(value.of_others))
        for value in shortcut.values
    ]


def test_check_data_distinguishes_darker_test_images(photos: Path) -> None:
    for path in (HOME / "test").rglob("*.jpg"):
        image = Image.open(path).convert("RGB")
        image.point(lambda value: value // 2).save(path)
    record = checked()
    assert record.sides[0].interval[0] > 0.8


def test_check_data_finds_wrong_labels_with_a_run_on_the_same_images(photos: Path) -> None:
    """Class a is bright and class b is dark, except one image of each, whose label is wrong."""
    for path in sorted((HOME / "train").rglob("*.jpg")):
        is_bright = (path.parent.name == "a") != (path.name == "11.jpg")
        image = Image.open(path).convert("RGB")
        image.point(lambda value, up=is_bright: value // 3 + (150 if up else 0)).save(path)
    experiment = dataclasses.replace(SMALL, data=str(HOME), epochs=3, lr=1e-2, folds=2)
    assert checked().probabilities == ""
    result = cross_validate(experiment)
    record = checked()
    assert str(result.run_dir) in record.probabilities
    first = {suspect.image.path: suspect.likely for suspect in record.suspects[:2]}
    assert first == {"train/a/11.jpg": "b", "train/b/11.jpg": "a"}
    assert all(suspect.image.side == "train" for suspect in record.suspects)
    (HOME / "train/a/00.jpg").unlink()
    assert checked().probabilities == ""  # its predictions are of other images
    with pytest.raises(UsageError, match="other images"):
        check_data(experiment, CheckOptions(run=RunFolder.open(result.run_dir).id))


def test_check_data_ignores_a_run_on_other_labels(photos: Path) -> None:
    """The images are the same, but their table was edited after the run."""
    rows = [f"photos/train/{label}/{number:02d}.jpg" for label in "ab" for number in range(30)]

    def write(labels: list[str]) -> None:
        lines = [f"{path},{label}" for path, label in zip(rows, labels, strict=True)]
        Path("labels.csv").write_text("\n".join(["path,label", *lines]))

    given = ["a"] * 30 + ["b"] * 30
    write(given)
    experiment = dataclasses.replace(SMALL, data="labels.csv", folds=2, epochs=1)
    result = cross_validate(experiment)
    assert str(result.run_dir) in check_data(experiment).probabilities
    write(["b", *given[1:]])
    assert check_data(experiment).probabilities == ""
    write([f"c{number % 3}" for number in range(60)])
    assert check_data(experiment).probabilities == ""


def test_check_data_counts_only_direct_copies_of_training_images(photos: Path) -> None:
    """Crops that move step by step: the last is linked to the first only through others."""
    wide = textures(1, seed=7)[0].resize((500, 500))
    for number in range(30):
        side = "train" if number < 3 else "test"
        wide.crop((number * 6, 0, number * 6 + 220, 220)).save(HOME / side / "a" / f"drift{number:02d}.png")
    for number in range(230):
        shutil.copy(
            HOME / "train/b/07.jpg", HOME / ("train" if number < 200 else "test") / "b" / f"same{number:03d}.jpg"
        )
    record = checked()
    assert {found.size for found in record.copies} == {30, 231}
    assert 30 < record.copied["test"] < 30 + 27


def test_check_data_leaves_out_test_images_that_a_test_would_refuse(photos: Path) -> None:
    (HOME / "test/c").mkdir()
    shutil.copy(HOME / "test/b/00.jpg", HOME / "test/c/00.jpg")
    record = checked(test_data=str(HOME / "test"))
    assert "test" not in record.counts
    assert any("not checked" in note and "unknown classes: c" in note for note in record.notes)
    assert len(record.unchecked) == 1


def test_check_data_warns_of_classes_too_small_for_folds(photos: Path) -> None:
    for path in sorted((HOME / "train/a").glob("*.jpg"))[1:]:
        path.unlink()
    record = checked()
    assert record.counts["train"] == {"a": 1, "b": 30}
    assert any(note.startswith("harness run will refuse these images") for note in record.notes)


def test_check_data_without_a_readable_image(photos: Path) -> None:
    for path in HOME.rglob("*.jpg"):
        path.write_bytes(b"no image")
    record = checked()
    assert len(record.odd) == 80
    assert (record.pairs, record.sides, record.shortcut) == (0, [], None)


def test_check_data_of_a_table(photos: Path) -> None:
    rows = [
        f"photos/{side}/{label}/{number:02d}.jpg,{label},{side}"
        for side, count in (("train", 30), ("test", 10))
        for label in "ab"
        for number in range(count)
    ]
    Path("labels.csv").write_text("\n".join(["path,label,split", *rows]))
    record = check_data(Experiment().override({"data": "labels.csv", "model": "small_cnn", "weights": "none"}))
    assert record.counts == {"train": {"a": 30, "b": 30}, "test": {"a": 10, "b": 10}}
    assert record.data == "labels.csv"


def test_check_data_refuses_a_missing_folder(photos: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        check_data(dataclasses.replace(SMALL, data="nowhere"))


def test_check_data_finds_wrong_labels_with_features_of_given_weights(
    photos: Path, scenes: Path, scenes_weights: Path
) -> None:
    """Some labels of real photographs are flipped."""
    shutil.rmtree(HOME)
    rng = np.random.default_rng(0)
    for label in ("forest", "sea"):
        (HOME / label).mkdir(parents=True)
    for label in ("forest", "sea"):
        for path in sorted((scenes / "train" / label).iterdir())[:40]:
            other = "sea" if label == "forest" else "forest"
            flipped = rng.random() < 0.05
            shutil.copy(path, HOME / (other if flipped else label) / f"{'flipped' if flipped else 'as'}-{path.name}")
    record = checked(model="resnet18", weights=str(scenes_weights), image_size=64, epochs=1)
    assert record.features.startswith("resnet18")
    flipped = {path.name for path in HOME.rglob("flipped-*")}
    found = {Path(suspect.image.path).name for suspect in record.suspects}
    assert len(flipped) >= 2
    assert len(found & flipped) >= 0.6 * len(flipped)


def test_check_data_refuses_missing_weights_only_if_typed(photos: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        checked(model="resnet18", weights="nowhere.pth")
    record = check_data(dataclasses.replace(SMALL, data=str(HOME), model="resnet18", weights="nowhere.pth"))
    assert any("nowhere.pth does not exist" in note for note in record.notes)


def test_check_data_warns_of_a_copied_class(photos: Path) -> None:
    shutil.copytree(HOME / "train/a", HOME / "train/a backup")
    (HOME / "test/a backup").mkdir()
    shutil.copy(HOME / "test/b/00.jpg", HOME / "test/a backup/00.jpg")
    notes = [note for note in checked().notes if "was the folder copied" in note]
    assert notes == ["30 of 31 images of class a backup are copies of images of class a: was the folder copied?"]


def test_check_data_says_that_small_images_are_not_compared(photos: Path) -> None:
    for path in HOME.rglob("*.jpg"):
        Image.open(path).resize((12, 12)).save(path)
    record = checked()
    assert record.pairs == 0
    assert "not checked: near copies among 80 images with a side below 16 pixels" in record.notes


def test_check_data_writes_no_cache_if_cache_is_off(
    photos: Path, scenes_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    record = checked(model="resnet18", weights=str(scenes_weights), image_size=32, cache=False)
    assert record.features
    assert not (tmp_path / "cache").exists()


def test_check_data_of_a_class_that_is_nearly_all_copied_to_another(photos: Path) -> None:
    """Each copy counts for its first class, so the second class has one image left for three folds."""
    for path in sorted((HOME / "train/a").glob("*.jpg"))[1:]:
        shutil.copy(path, HOME / "train/b" / f"too{path.name}")
    for path in sorted((HOME / "train/b").glob("[0-9]*.jpg"))[1:]:
        path.unlink()
    record = checked()
    assert sum(found.is_contradiction for found in record.copies) == 29


def test_check_data_uses_one_value_range_for_all_16_bit_images(photos: Path) -> None:
    for path in HOME.rglob("*.jpg"):
        values = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16
        Image.fromarray(values).save(path.with_suffix(".png"))
        path.unlink()
    record = checked()
    assert record.value_range == (0, 4095)
    assert record.odd == []
