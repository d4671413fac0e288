from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.config.experiment import Experiment
from harness.data.demo import draw
from harness.data.prepare import Preparation
from harness.errors import DataError, UsageError
from harness.models.saved import load_model
from harness.training.plan import Plan
from harness.workflows.crossval import cross_validate
from harness.workflows.make_plan import make_plan
from harness.workflows.plan_data import plan_data
from harness.workflows.test import evaluate

SMALL = {"name": "x", "model": "small_cnn", "weights": None, "image_size": 32, "precision": "fp32", "epochs": 1}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """train/, val/ and test/ with 6, 3 and 3 images of each class."""
    for number, (side, count) in enumerate({"train": 6, "val": 3, "test": 3}.items()):
        for name in ("sea", "forest"):
            (tmp_path / "split" / side / name).mkdir(parents=True)
            for i in range(count):
                draw("train", name, 100 * number + i).resize((48, 48)).save(tmp_path / f"split/{side}/{name}/{i}.png")
    return tmp_path / "split"


def plan(experiment: Experiment, **options: Any) -> Plan:
    return make_plan(experiment, device="cpu", **options)


def test_plan_data_uses_the_validation_and_test_folders(split: Path) -> None:
    made = plan(Experiment(data=str(split), **SMALL))
    experiment = made.experiment
    assert (experiment.folds, experiment.valid_data, experiment.test_data) == (0, f"{split}/val", f"{split}/test")
    assert experiment.origin("valid_data") == experiment.origin("folds") == "found in data"
    assert made.lines()[0] == f"x: one hold-out ({split}/val) of 1 epoch"
    assert made.notes[0].startswith(f"{split} is split into folders: train/ for training, val/ for validation")
    assert made.notes[1] == f"the hold-out is {split}/val (-s folds=5 cross-validates the training images instead)"
    (only,) = made.splits.values()
    assert {made.images.paths[i].split("/")[0] for i in only.train} == {"train"}
    assert {made.images.paths[i].split("/")[0] for i in only.valid} == {"val"}
    assert (len(only.train), len(only.valid)) == (12, 6)


def test_cross_validate_on_a_separate_hold_out(split: Path, tmp_path: Path) -> None:
    result = cross_validate(plan(Experiment(data=str(split), trackers=(), **SMALL)), runs=tmp_path / "runs")
    assert result.accuracy.n == 6
    assert all(path.startswith("val/") for path in result.predictions.paths)


@pytest.mark.parametrize(
    ("written", "typed", "valid"),
    [
        ({"folds": 3}, {}, False),  # folds were typed together with the data
        ({"folds": 3}, {"data": "here"}, True),  # data other than those of the folds
        ({}, {"data": "here", "folds": "3"}, False),
        ({"folds": 0}, {}, True),
        ({}, {"folds": "0"}, True),
    ],
)
def test_plan_data_uses_folds_or_the_validation_folder(
    written: dict[str, Any], typed: dict[str, str], valid: bool, split: Path
) -> None:
    typed = {name: str(split) if value == "here" else value for name, value in typed.items()}
    data = plan_data(Experiment(data=str(split), **SMALL | written).override(typed))
    assert (data.experiment.valid_data is not None) is valid
    assert data.experiment.folds == (0 if valid else 3)
    says = "the hold-out is" if valid else "folds=3 is set"
    assert any(note.startswith(says) for note in data.notes) or written.get("folds") == 0 or typed == {"folds": "0"}


def test_plan_data_refuses_valid_data_with_folds_of_the_same_origin(split: Path) -> None:
    train, val = str(split / "train"), str(split / "val")
    with pytest.raises(UsageError, match="valid_data and folds=3 contradict"):
        plan_data(Experiment(data=train, valid_data=val, folds=3, **SMALL))
    assert plan_data(Experiment(data=train, valid_data=val, **SMALL)).experiment.folds == 0
    folds_later = Experiment(data=train, valid_data=val, **SMALL).override({"folds": "3"})
    assert plan_data(folds_later).experiment.valid_data is None
    images_later = Experiment(data=train, folds=3, **SMALL).override({"valid_data": val})
    assert plan_data(images_later).experiment.folds == 0


def test_plan_data_prefers_test_data_to_a_test_folder_and_warns(split: Path) -> None:
    experiment = Experiment(data=str(split), test_data=str(split / "val"), folds=3, **SMALL)
    data = plan_data(experiment)
    assert data.experiment.test_data == f"{split}/val"
    assert f"the test images in {split}/test are not used: test_data={split}/val" in data.notes
    typed = Experiment(test_data="elsewhere", folds=3, **SMALL).override({"data": str(split)})
    assert plan_data(typed).experiment.test_data == f"{split}/test"  # settings that belong to the typed data


def test_make_plan_refuses_a_leak_into_the_hold_out(split: Path) -> None:
    Image.open(split / "train/sea/0.png").save(split / "val/sea/again.bmp")
    with pytest.raises(DataError, match=r"1 of 7 images in .*val is also in the training set") as caught:
        plan(Experiment(data=str(split), **SMALL))
    assert "val/sea/again.bmp" in caught.value.why
    made = plan(Experiment(data=str(split), **SMALL), allow_leak=True)
    assert made.leaked == 1
    assert any("1 of 7 validation images" in note and "--allow-leak" in note for note in made.notes)


def test_make_plan_refuses_a_group_in_two_splits(split: Path) -> None:
    for side in ("train", "val"):
        for name in ("sea", "forest"):
            (split / side / name / "p1").mkdir()
            (split / side / name / "0.png").rename(split / side / name / "p1/0.png")
    assert plan(Experiment(data=str(split), **SMALL)).leaked == 0
    with pytest.raises(DataError, match="2 of 6 images"):
        plan(Experiment(data=str(split), groups="folder", **SMALL))


def test_make_plan_skips_unreadable_images_of_both_splits(split: Path) -> None:
    (split / "train/sea/0.png").write_bytes(b"")
    (split / "val/forest/0.png").write_bytes(b"")
    made = plan(Experiment(data=str(split), **SMALL), skip_corrupt=True)
    (only,) = made.splits.values()
    assert (len(only.train), len(only.valid)) == (11, 5)
    assert {made.images.paths[i].split("/")[0] for i in only.valid} == {"val"}
    assert made.lines()[0].endswith("left out: forest 1 of 9, sea 1 of 9")


def test_make_plan_keeps_groups_in_one_fold(split: Path) -> None:
    for name in ("sea", "forest"):
        shutil.copytree(split / "test" / name, split / "train" / name / "p2")
    made = plan(Experiment(data=str(split / "train"), groups=r"^\w+/(\w+)", folds=2, **SMALL))
    assert made.groups is not None
    for one in made.splits.values():
        assert not {made.groups[i] for i in one.train} & {made.groups[i] for i in one.valid}
    assert "in 7 groups" in made.lines()[1]


def test_plan_data_reads_splits_and_groups_from_a_table(split: Path) -> None:
    lines = ["file,class,split,patient"]
    for side in ("train", "val", "test"):
        paths = sorted((split / side).rglob("*.png"))
        lines += [f"{path.relative_to(split)},{path.parent.name},{side},{side}{i // 2}" for i, path in enumerate(paths)]
    (split / "labels.csv").write_text("\n".join(lines))
    columns = ("path=file", "label=class", "group=patient")
    made = plan(Experiment(data=str(split / "labels.csv"), columns=columns, **SMALL))
    (only,) = made.splits.values()
    assert (len(only.train), len(only.valid)) == (12, 6)
    assert made.experiment.test_data == f"{split}/labels.csv"
    assert made.images.root == split
    assert "18 images (forest 9, sea 9) in 9 groups" in made.lines()[1]


def deep(folder: Path, scale: int, dtype: Any, suffix: str) -> Path:
    """Two classes of 6 grey drawings with values up to 255 * scale."""
    for name in ("sea", "forest"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            grey = np.asarray(draw("train", name, i).resize((48, 48)).convert("L")).astype(dtype) * dtype(scale)
            Image.fromarray(grey).save(folder / name / f"{i}{suffix}")
    return folder


@pytest.mark.parametrize(
    ("scale", "dtype", "suffix", "expected"),
    [
        (16, np.uint16, ".png", (0, 4095)),
        (1, np.uint16, ".tif", (0, 255)),
        pytest.param(1, np.int32, ".tif", (0, 255), marks=pytest.mark.slow),
        pytest.param(16, np.float32, ".tif", (0, 4095), marks=pytest.mark.slow),
    ],
)
def test_value_range_of_deep_files_is_kept_for_the_test(
    scale: int, dtype: Any, suffix: str, expected: tuple[float, float], tmp_path: Path
) -> None:
    data = deep(tmp_path / "deep", scale, dtype, suffix)
    experiment = Experiment(data=str(data), folds=2, trackers=(), **SMALL)
    made = plan(experiment)
    low, high = expected
    assert (
        f"12 images have more than 8 bits: {low} becomes black and {high} white (the range of all of them"
        in made.notes[0]
    )
    assert made.experiment.value_range == expected
    assert made.experiment.origin("value_range") == "found in data"
    first = made.pixels.take([6]).permute(0, 2, 3, 1).numpy()[0]
    grey = np.asarray(draw("train", "sea", 0).resize((48, 48)).convert("L"))
    shown = Preparation(32).array(
        Image.fromarray(np.floor(grey * (scale * 255 / high) + 0.5).astype(np.uint8)).convert("RGB")
    )
    assert np.abs(first.astype(int) - shown).max() <= 1
    result = cross_validate(made, runs=tmp_path / "runs")
    saved = load_model(result.results[0].checkpoint)
    assert saved.transform.preparation.value_range == expected
    dark = deep(tmp_path / "dark", 1, dtype, suffix)  # without the common range, it would be scaled to its own
    own = evaluate(saved, result.results[0].checkpoint, data, allow_leak=True, runs=tmp_path, trackers=[])
    other = evaluate(saved, result.results[0].checkpoint, dark, allow_leak=True, runs=tmp_path, trackers=[])
    assert (own.predictions.probabilities != other.predictions.probabilities).any() or scale == 1
    again = dict(zip(own.predictions.paths, own.uncalibrated, strict=True))
    fold = result.results[0].predictions
    for path, shares in zip(fold.paths, fold.probabilities, strict=True):
        assert again[path] == pytest.approx(shares, abs=1e-5)


def test_make_plan_warns_of_clipped_values(tmp_path: Path) -> None:
    data = deep(tmp_path / "deep", 16, np.uint16, ".png")
    made = plan(Experiment(data=str(data), folds=2, value_range=(0, 1023), **SMALL))
    assert made.notes[0] == "12 images have more than 8 bits: 0 becomes black and 1023 white"
    assert "of the values are outside 0 to 1023 and are clipped" in made.notes[1]


def test_make_plan_scales_only_deep_files(tmp_path: Path) -> None:
    data = deep(tmp_path / "deep", 16, np.uint16, ".png")
    draw("train", "sea", 9).resize((32, 32)).save(data / "sea/plain.png")
    made = plan(Experiment(data=str(data), folds=2, **SMALL))
    index = made.images.paths.index("sea/plain.png")
    expected = np.asarray(draw("train", "sea", 9).resize((32, 32)))
    assert np.array_equal(made.pixels.take([index]).permute(0, 2, 3, 1).numpy()[0], expected)
    assert "12 images have more than 8 bits" in made.notes[0]


def test_cache_keeps_the_value_range_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = deep(tmp_path / "deep", 16, np.uint16, ".png")
    experiment = Experiment(data=str(data), folds=2, **SMALL)
    first = plan(experiment)
    monkeypatch.setattr("harness.data.check.read", None)  # nothing is decoded by the check
    again = plan(experiment)
    assert again.experiment.value_range == (0, 4095)
    assert again.pixels.take([0, 7]).tolist() == first.pixels.take([0, 7]).tolist()


def test_make_plan_refuses_a_class_without_training_images(split: Path) -> None:
    for path in (split / "val/forest").iterdir():
        path.write_bytes(b"")
    made = plan(Experiment(data=str(split), **SMALL), skip_corrupt=True)
    assert "the hold-out has no image of forest, so it cannot evaluate that class" in made.notes
    for path in (split / "train/sea").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="there is no training image of sea"):
        plan(Experiment(data=str(split), **SMALL), skip_corrupt=True)


def test_plan_data_ignores_the_files_hold_out_if_data_is_typed(split: Path) -> None:
    written = Experiment(data="elsewhere", valid_data="elsewhere/val", **SMALL)
    typed = plan_data(written.override({"data": str(split)})).experiment
    assert typed.valid_data == f"{split}/val"
    none = plan_data(
        Experiment(data=str(split), **SMALL).override({"valid_data": "none", "test_data": "none"})
    ).experiment
    assert (none.valid_data, none.test_data, none.folds) == (None, None, 5)


def test_plan_data_warns_if_there_are_no_group_folders(split: Path) -> None:
    grouped = Experiment(data=str(split / "train"), groups="folder", **SMALL)
    assert any("groups=folder has no effect: no folder lies between" in note for note in plan_data(grouped).notes)
    assert not any("groups=folder" in note for note in plan_data(Experiment(data=str(split / "train"), **SMALL)).notes)
