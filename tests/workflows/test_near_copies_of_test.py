from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageOps

from harness.data.near_copies import find_near_copies
from harness.evaluation.accuracy import wilson_interval
from harness.evaluation.gate import Gate
from harness.models.saved import SavedModel, load_model
from harness.runs.run_folder import RunFolder
from harness.workflows import near_copies_of_test
from harness.workflows.crossval import cross_validate
from harness.workflows.find_checkpoint import find_checkpoint
from harness.workflows.test import Evaluation, evaluate
from tests.data.test_near_copies import saved
from tests.workflows.test_make_plan import plan
from tests.workflows.test_near_copies import IMAGES, put

TEXT = "of {} images {} a near copy among the training images"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training images, 10 test images and a run of two folds. Two test images are near copies."""
    home = tmp_path_factory.mktemp("home")
    for number, image in enumerate(IMAGES):
        side = "train" if number < 24 else "test"
        put(image, home / side / ("forest" if number % 2 else "sea") / f"{number:02d}.png")
    put(ImageOps.mirror(IMAGES[3]), home / "test/forest/03.png")
    put(saved(IMAGES[20], quality=40), home / "test/sea/20.png")
    cross_validate(plan(home / "train", trackers=(), epochs=1, folds=2), runs=home / "runs", refit=True)
    return home


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "test", tmp_path / "test"))


def model_of(home: Path) -> tuple[SavedModel, Path]:
    (run,) = (home / "runs/x").iterdir()
    path = find_checkpoint(str(run), home / "runs")
    return load_model(path), path


def judge(home: Path, data: Path, runs: Path, **options: Any) -> Evaluation:
    model, path = model_of(home)
    fields = options.pop("experiment", {})
    model = dataclasses.replace(model, experiment={**model.experiment, **fields}, **options.pop("model", {}))
    return evaluate(model, path, data, trackers=[], runs=runs, pictures=False, **{"gate": Gate(0.0), **options})


def test_evaluate_gives_the_accuracy_without_near_copies(home: Path, tmp_path: Path) -> None:
    evaluation = judge(home, home / "test", tmp_path)
    found = evaluation.predictions
    rest = np.array([path not in ("forest/03.png", "sea/20.png") for path in found.paths])
    right = int(found.right[rest].sum())
    low, high = wilson_interval(right, 8)
    record = RunFolder.open(evaluation.run_dir).record
    assert record.near_copies == evaluation.near_copies
    assert evaluation.to_dict()["near_copies"] == {
        "images": 2,
        "accuracy": right / 8,
        "interval": [low, high],
        "n": 8,
    }
    assert record.data.near_copies == 2
    assert evaluation.accuracy.n == 10
    assert evaluation.floors[0].value == evaluation.accuracy.value
    assert evaluation.notes == (
        "2 of 10 test images have a near copy among the training images, so the accuracy may be too good: "
        f"{home}/test/forest/03.png ({home}/train/forest/03.png, mirrored), ...; the gate counts all images",
    )
    text = f"{TEXT.format(10, 'have')}; without them {100 * right / 8:.1f} % (95 % interval"
    assert evaluation.near_copies_text.startswith(f"2 {text}")
    assert record.near_copies_text == evaluation.near_copies_text


def test_evaluate_does_not_warn_without_near_copies(home: Path, copy: Path, tmp_path: Path) -> None:
    for name in ("forest/03.png", "sea/20.png"):
        (copy / name).unlink()
    evaluation = judge(home, copy, tmp_path)
    assert evaluation.notes == ()
    assert evaluation.near_copies is evaluation.to_dict()["near_copies"] is None


@pytest.mark.parametrize("data", ["elsewhere", "//server/share", "s3://bucket/images", ""])
def test_evaluate_does_not_warn_if_training_images_are_missing(home: Path, tmp_path: Path, data: str) -> None:
    evaluation = judge(home, home / "test", tmp_path, experiment={"data": data})
    assert evaluation.notes == ()
    assert evaluation.near_copies is None


def test_evaluate_compares_only_with_training_images_of_the_model(home: Path, copy: Path, tmp_path: Path) -> None:
    """The training folder has a new image, which is not a training image of this model."""
    train = Path(shutil.copytree(home / "train", tmp_path / "train"))
    put(IMAGES[25], train / "forest/new.png")
    put(saved(IMAGES[25], quality=40), copy / "forest/again.png")
    evaluation = judge(home, copy, tmp_path, experiment={"data": str(train)})
    assert evaluation.near_copies is not None
    assert evaluation.near_copies.images == 2
    (train / "forest/03.png").unlink()
    evaluation = judge(home, copy, tmp_path, experiment={"data": str(train)})
    assert evaluation.near_copies_text.startswith("1 of 11 images has a near copy")
    other = Path(shutil.copytree(home / "test", tmp_path / "other"))
    assert judge(home, copy, tmp_path, experiment={"data": str(other)}).notes == ()


def test_evaluate_compares_with_a_hold_out_that_was_trained_on(home: Path, tmp_path: Path) -> None:
    for side in ("train", "valid"):
        shutil.copytree(home / "train", tmp_path / side)
    for name in ("forest/03.png", "sea/20.png"):
        (tmp_path / "train" / name).unlink()
    sides = {side: str(tmp_path / side) for side in ("train", "valid")}
    evaluation = judge(home, home / "test", tmp_path, experiment={"data": sides["train"]})
    assert evaluation.near_copies is None
    both = {"data": sides["train"], "valid_data": sides["valid"]}
    evaluation = judge(home, home / "test", tmp_path, experiment=both)
    assert evaluation.near_copies is not None
    assert evaluation.near_copies.images == 2


def test_evaluate_of_an_older_checkpoint_compares_with_all_training_images(home: Path, tmp_path: Path) -> None:
    evaluation = judge(home, home / "test", tmp_path, model={"trained_on": None, "data_digest": None})
    assert evaluation.near_copies is not None
    assert evaluation.near_copies.images == 2


def test_evaluate_gives_no_accuracy_of_leaked_images(home: Path, copy: Path, tmp_path: Path) -> None:
    shutil.copy(home / "train/sea/04.png", copy / "sea/04.png")
    evaluation = judge(home, copy, tmp_path, allow_leak=True)
    assert evaluation.near_copies_text == f"2 {TEXT.format(11, 'have')}"
    assert evaluation.to_dict()["near_copies"] == {"images": 2, "n": 9}


def test_evaluate_searches_once_for_the_same_images(
    home: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def search(*arguments: Any) -> Any:
        searched.append(arguments)
        return find_near_copies(*arguments)

    monkeypatch.setattr("harness.data.copies.find_near_copies", search)
    put(IMAGES[0].rotate(45), copy / "sea/other.png")
    first = judge(home, copy, tmp_path)
    assert judge(home, copy, tmp_path).notes == first.notes != ()
    assert len(searched) == 1
    assert judge(home, copy, tmp_path, find_near_copies=False).notes == ()
    judge(home, copy, tmp_path, experiment={"cache": False})
    assert len(searched) == 2


def test_evaluate_does_not_read_very_many_training_images(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_copies_of_test, "MOST_COMPARED", 23)
    (note,) = judge(home, home / "test", tmp_path).notes
    assert note.startswith("not checked for near copies, because there are more than 23 training images")
