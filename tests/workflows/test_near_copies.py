from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.cache.store import open_cache
from harness.data.near_copies import find_near_copies
from harness.evaluation.groups import accuracy_of
from harness.runs.run_folder import RunFolder
from harness.training.plan import Plan
from harness.workflows import near_copies
from harness.workflows.crossval import CrossValidation, cross_validate
from harness.workflows.make_plan import vary
from harness.workflows.new.look import look
from tests.data.test_near_copies import cropped, saved, textures
from tests.toy import SMALL
from tests.workflows.test_make_plan import plan

IMAGES = textures(32)


def put(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """12 different images of each class."""
    for number, image in enumerate(IMAGES[:24]):
        put(image, tmp_path / "train" / ("forest" if number < 12 else "sea") / f"{number:02d}.png")
    return tmp_path / "train"


@pytest.fixture
def test(tmp_path: Path) -> Path:
    """4 images of each class that are in no other folder."""
    for number, image in enumerate(IMAGES[24:]):
        put(image, tmp_path / "test" / ("forest" if number < 4 else "sea") / f"{24 + number}.png")
    return tmp_path / "test"


def without_cache(data: Path, **fields: Any) -> Plan:
    return plan(data, cache=False, **fields)


def torn(made: Plan, *pairs: tuple[str, str]) -> set[str]:
    """Validation images of `pairs` whose partner is in the training set of the same fold."""
    result = set()
    for one, other in (*pairs, *((b, a) for a, b in pairs)):
        for split in made.splits.values():
            if made.images.paths.index(one) in split.valid:
                result |= {one} if made.images.paths.index(other) in split.training_side else set()
    return result


def near(made: Plan) -> set[str]:
    return {made.images.paths[i] for i in made.near_copies}


def test_find_near_finds_none_among_different_images(train: Path, test: Path) -> None:
    made = without_cache(train, test_data=str(test))
    assert made.notes == ()
    assert made.near_copies == ()


def test_find_near_warns_of_copies_of_test_images(train: Path, test: Path) -> None:
    put(ImageOps.mirror(IMAGES[3]), test / "forest/again.png")
    put(saved(IMAGES[20], quality=40), test / "sea/saved.png")
    made = without_cache(train, test_data=str(test))
    assert made.notes == (
        "2 of 10 test images have a near copy among the training images, so the test accuracy may be too good: "
        f"{test}/forest/again.png ({train}/forest/03.png, mirrored), ...; harness data check {train} shows them",
    )
    assert made.near_copies == ()


def test_find_near_excludes_leaks(train: Path, test: Path) -> None:
    """An image with equal pixels is reported as a leak, even if another image is a near copy of it."""
    shutil.copy(train / "sea/20.png", test / "sea/leak.png")
    put(saved(IMAGES[20], quality=40), train / "sea/saved.png")
    made = without_cache(train, test_data=str(test), allow_leak=True, groups=r"(sea/20|sea/saved)|.*")
    (note,) = (note for note in made.notes if "test images" in note)
    assert note.startswith(
        f"1 of 9 test images in {test} is also in the training set, as copies or in the same groups (--allow-leak)"
    )


def test_find_near_warns_of_copies_between_training_and_validation(train: Path) -> None:
    pairs = (("forest/02.png", "forest/2a.png"), ("sea/15.png", "sea/2b.png"), ("sea/16.png", "sea/2c.png"))
    put(saved(IMAGES[2], quality=40), train / "forest/2a.png")
    put(cropped(IMAGES[15]), train / "sea/2b.png")
    put(ImageOps.mirror(IMAGES[16]), train / "sea/2c.png")
    made = without_cache(train, epoch="best")
    expected = torn(made, *pairs)
    assert near(made) == expected
    assert 2 <= len(expected) <= 6
    (note,) = made.notes
    assert note.startswith(
        f"{len(expected)} of 27 validation images have a near copy in the training set of their fold, so the accuracy "
        f"may be too good, and is also given without them: {min(expected)} ("
    )
    assert "-s 'groups=" in note
    assert near(without_cache(train, epoch="best", repeats=2)) == expected
    one = without_cache(train, epoch="best", fold=1)
    assert near(one) == torn(one, *pairs)
    varied = vary(made, made.experiment.override({"lr": "0.5", "epoch": "last"}))
    assert varied.near_copies == made.near_copies
    assert varied.notes == ()


def test_find_near_ignores_copies_in_one_group(train: Path) -> None:
    put(saved(IMAGES[2], quality=40), train / "forest/02b.png")
    put(cropped(IMAGES[15]), train / "sea/15b.png")
    assert without_cache(train, groups=r"\d\d").notes == ()


def test_find_near_warns_of_copies_of_a_hold_out(train: Path, test: Path) -> None:
    put(cropped(IMAGES[4]), test / "forest/a.png")
    made = without_cache(train, valid_data=str(test), folds=0)
    assert near(made) == {"test/forest/a.png"}
    assert made.notes == (
        "1 of 9 validation images has a near copy among the training images, so the accuracy may be too good, and is "
        "also given without them: test/forest/a.png (train/forest/04.png); "
        f"harness data check {train} shows them",
    )


def test_find_near_warns_first_of_copies_in_two_classes(train: Path, test: Path) -> None:
    put(ImageOps.mirror(IMAGES[20]), train / "forest/other.png")
    put(saved(IMAGES[5], quality=40), test / "sea/other.png")
    notes = without_cache(train, test_data=str(test)).notes
    assert notes[0] == (
        "CONTRADICTION: 2 pairs of near copies are in two classes, so one of their labels is probably wrong: "
        f"forest/05.png and {test}/sea/other.png, ...; harness data check {train} shows them"
    )
    assert notes[1].startswith("1 of 9 test images has a near copy")


def test_find_near_of_frames_of_videos_is_one_line(tmp_path: Path) -> None:
    """40 frames of 3 scenes: each is a near copy of a dozen others."""
    rng = np.random.default_rng(0)
    for number in range(40):
        frame = np.asarray(IMAGES[number % 3], float) + rng.normal(0, 4, (96, 96, 1)) + number / 4
        name = ("forest", "sea", "sea")[number % 3]
        put(Image.fromarray(frame.clip(0, 255).astype(np.uint8)), tmp_path / name / f"{number:02d}.png")
    made = without_cache(tmp_path)
    assert len(made.near_copies) == 40
    (note,) = made.notes
    assert note.startswith("40 of 40 validation images have a near copy")
    assert "; put the images of one video or series in one group (-s 'groups=" in note
    assert len(note) < 500


def test_find_near_caches_its_result(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def search(*arguments: Any) -> Any:
        searched.append(arguments)
        return find_near_copies(*arguments)

    monkeypatch.setattr("harness.data.copies.find_near_copies", search)
    put(saved(IMAGES[2], quality=40), train / "forest/2a.png")
    put(saved(IMAGES[3], quality=40), train / "forest/3a.png")
    first = plan(train)
    assert len(searched) == 1
    assert plan(train, folds=2).images == first.images
    assert plan(train).notes == first.notes != ()
    assert len(searched) == 1
    assert "copies" in {entry.kind for entry in open_cache().entries()}
    without_cache(train)
    assert len(searched) == 2


def test_find_near_of_many_images_compares_only_the_test(
    train: Path, test: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_copies, "MOST_COMPARED", 20)
    put(saved(IMAGES[2], quality=40), train / "forest/2a.png")
    put(saved(IMAGES[3], quality=40), train / "forest/3a.png")
    left_out = (
        f"folds are not checked for near copies, because there are more than 20 images; harness data check {train} "
        "checks them"
    )
    assert without_cache(train).notes == (left_out,)
    put(cropped(IMAGES[4]), test / "forest/a.png")
    first, second = without_cache(train, test_data=str(test)).notes
    assert first == left_out
    assert second.startswith("1 of 9 test images has a near copy")
    (note,) = without_cache(train, valid_data=str(test), folds=0).notes
    assert note.startswith("1 of 9 validation images has a near copy")


def test_find_near_names_the_right_files_if_others_are_left_out(train: Path, test: Path) -> None:
    """https://github.com/visual-layer/fastdup/issues/11: wrong pairs of files, because an index was shifted."""
    for path in (train / "forest/00a.png", train / "sea/13.png", test / "forest/23.png"):
        path.write_bytes(b"no image")
    put(Image.new("RGB", (64, 64), "grey"), train / "forest/00b.png")
    put(IMAGES[1].resize((12, 12)), train / "forest/00c.png")
    shutil.copy(train / "forest/01.png", train / "forest/01b.png")
    put(ImageOps.mirror(IMAGES[19]), test / "sea/again.png")
    put(saved(IMAGES[11], quality=40), train / "sea/11.png")
    made = without_cache(train, test_data=str(test), skip_corrupt=True)
    contradiction, of_test = (note for note in made.notes if "near cop" in note and "validation" not in note)
    assert "probably wrong: forest/11.png and sea/11.png; harness" in contradiction
    assert f"too good: {test}/sea/again.png ({train}/sea/19.png, mirrored); harness" in of_test
    assert near(made) == torn(made, ("forest/11.png", "sea/11.png"))


def test_find_near_of_identical_splits(train: Path) -> None:
    """https://github.com/voxel51/fiftyone-brain/pull/203: an error if images were in both splits."""
    put(saved(IMAGES[2], quality=40), train / "forest/2a.png")
    made = without_cache(train, valid_data=str(train), test_data=str(train), folds=0, allow_leak=True)
    assert made.leaked == 25
    assert made.near_copies == ()
    assert not any("near cop" in note for note in made.notes)


def test_look_counts_near_copies_that_folds_may_separate(train: Path, test: Path) -> None:
    put(saved(IMAGES[2], quality=40), train / "forest/2a.png")
    put(cropped(IMAGES[4]), test / "forest/a.png")
    facts = look(SMALL.replace(data=str(train), test_data=str(test)))
    assert facts.notes[0].startswith("1 of 9 test images has a near copy among the training images")
    assert facts.notes[1] == (
        f"2 of 25 images are near copies of each other, and may be put in different folds: "
        f"forest/02.png (forest/2a.png); harness data check {train} shows them"
    )
    facts = look(SMALL.replace(data=str(train), valid_data=str(test), folds=0))
    assert facts.notes[-1].startswith("1 of 9 validation images has a near copy among the training images")


def test_check_command_names_the_experiment_if_there_is_one(train: Path, project: Path) -> None:
    experiment = SMALL.replace(data=str(train), name="tiny")
    assert near_copies.check_command(experiment) == "harness data check tiny"
    assert near_copies.check_command(experiment.replace(name="other")) == f"harness data check {train}"
    typed = experiment.override({"data": "my photos"})
    assert near_copies.check_command(typed) == "harness data check 'my photos'"


def judged(train: Path, tmp_path: Path, **fields: Any) -> tuple[CrossValidation, RunFolder]:
    result = cross_validate(plan(train, trackers=(), epochs=1, **fields), runs=tmp_path / "runs")
    return result, RunFolder.open(result.run_dir)


def test_cross_validate_gives_the_accuracy_without_near_copies(train: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3, 4, 15, 16):
        name = "forest" if number < 12 else "sea"
        put(saved(IMAGES[number], quality=60), train / name / f"{number}again.png")
    shutil.copy(train / "sea/17.png", train / "sea/17again.png")  # an exact copy: a group of two
    result, folder = judged(train, tmp_path)
    found = result.predictions
    rest = np.array([path not in result.near_copies for path in found.paths])
    assert found.groups is not None
    expected = accuracy_of(found.right[rest], found.groups[rest])
    record = folder.record.near_copies
    assert record is not None
    assert (record.accuracy, record.interval) == (expected.value, list(expected.interval))
    assert (record.images, record.n, record.groups) == ((~rest).sum(), rest.sum(), expected.groups)
    assert record.groups == record.n - 1
    assert folder.record.data.near_copies == len(result.near_copies) == record.images > 3
    assert result.to_dict()["near_copies"] == {
        "images": record.images,
        "accuracy": expected.value,
        "interval": list(expected.interval),
        "n": record.n,
        "groups": record.groups,
    }
    low, high = (100 * bound for bound in expected.interval)
    interval = f"95 % interval {low:.1f} to {high:.1f} %, n = {record.n} in {record.groups} groups"
    assert folder.record.near_copies_text == (
        f"{record.images} of 31 images have a near copy in the training set of their fold; without them "
        f"{100 * expected.value:.1f} % ({interval})"
    )


def test_cross_validate_counts_an_image_once_if_folds_are_repeated(train: Path, tmp_path: Path) -> None:
    put(saved(IMAGES[1], quality=60), train / "forest/1again.png")
    put(saved(IMAGES[2], quality=60), train / "forest/2again.png")
    result, folder = judged(train, tmp_path, repeats=2)
    record = folder.record.near_copies
    assert record is not None
    assert record.images == len(result.near_copies)
    assert record.images + record.n == 26
    assert record.groups is None


def test_cross_validate_without_near_copies_has_no_second_accuracy(train: Path, tmp_path: Path) -> None:
    result, folder = judged(train, tmp_path)
    assert result.to_dict()["near_copies"] is folder.record.near_copies is None
    assert folder.record.near_copies_text == ""


def test_cross_validate_gives_no_accuracy_of_leaked_images(train: Path, test: Path, tmp_path: Path) -> None:
    put(cropped(IMAGES[4]), test / "forest/a.png")
    shutil.copy(train / "sea/17.png", test / "sea/17.png")
    _, folder = judged(train, tmp_path, valid_data=str(test), folds=0, allow_leak=True)
    assert folder.record.leaked == 1
    assert folder.record.near_copies_text == "1 of 10 images has a near copy among the training images"


def test_without_near_copies_if_all_images_have_one(train: Path, tmp_path: Path) -> None:
    shutil.rmtree(train)
    for number in range(6):
        name = "forest" if number < 3 else "sea"
        for quality in (40, 50, 60, 70, 80):
            put(saved(IMAGES[number], quality=quality), train / name / f"{number}-{quality}.png")
    _, folder = judged(train, tmp_path, folds=2)
    assert folder.record.near_copies_text == (
        "30 of 30 images have a near copy in the training set of their fold, so nothing is known of new images"
    )
