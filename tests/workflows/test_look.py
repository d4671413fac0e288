"""Tests of the facts that `harness new` collects about images."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.config.experiment import Experiment
from harness.errors import DataError
from harness.workflows.new.look import look


def draw_into(folder: Path, *names: str, size: tuple[int, int] = (20, 20), seed: int = 0) -> Path:
    """Writes an image of noise for each name; no two are similar."""
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def numbered(*folders: str, count: int = 6) -> list[str]:
    return [f"{folder}/{i}.png" for folder in folders for i in range(count)]


def test_look_finds_sizes_colours_and_classes(tmp_path: Path) -> None:
    draw_into(tmp_path, *numbered("cat", "dog"), size=(20, 30))
    (tmp_path / "cat/notes.txt").write_text("no image")
    facts = look(Experiment(data=str(tmp_path)))
    assert facts.counts == {"cat": 6, "dog": 6}
    assert facts.guessing == 0.5
    assert {*facts.sizes} == {(20, 30)}
    assert not facts.grey
    assert (facts.folds, facts.rarest, facts.copies, facts.test) == (5, ("cat", 6), 0, 0)
    assert facts.grouping is None


def test_look_counts_copies_as_one_image(tmp_path: Path) -> None:
    draw_into(tmp_path, *numbered("cat", "dog", count=4))
    for i in range(3):
        shutil.copy(tmp_path / "cat/0.png", tmp_path / f"cat/copy{i}.png")
    shutil.copy(tmp_path / "dog/0.png", tmp_path / "dog/copy.png")
    shutil.copy(tmp_path / "dog/1.png", tmp_path / "cat/torn.png")
    facts = look(Experiment(data=str(tmp_path)))
    assert (facts.copies, facts.in_two_classes) == (5, 1)
    assert facts.rarest == ("dog", 4)
    assert facts.folds == 3  # one of the four is also in the other class


def test_look_uses_the_validation_and_test_folders_beside_train(tmp_path: Path) -> None:
    draw_into(tmp_path, *numbered("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog", count=3))
    facts = look(Experiment(data=str(tmp_path / "train")))
    assert (facts.images, facts.valid, facts.test, facts.folds) == (6, 6, 6, 0)
    assert facts.experiment.test_data == str(tmp_path / "test")
    whole = look(Experiment(data=str(tmp_path)))
    assert dataclasses.replace(facts, experiment=whole.experiment, notes=whole.notes) == whole
    typed = look(Experiment().override({"data": str(tmp_path / "train"), "folds": "3"}))
    assert (typed.valid, typed.folds, typed.test) == (0, 3, 6)


def test_look_reports_a_leak(tmp_path: Path) -> None:
    draw_into(tmp_path, *numbered("train/cat", "train/dog", "test/cat", "test/dog", count=3))
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "test/cat/copy.png")
    facts = look(Experiment(data=str(tmp_path)))
    assert facts.leak.startswith(f"1 of 7 images in {tmp_path / 'test'} is also in the training set: cat/copy.png")


def test_look_leaves_out_images_that_cannot_be_decoded(tmp_path: Path) -> None:
    draw_into(tmp_path, *numbered("cat", "dog"))
    (tmp_path / "cat/0.png").write_bytes(b"<html>")
    facts = look(Experiment(data=str(tmp_path)))
    assert facts.unreadable == "cat 1 of 6"
    assert facts.counts == {"cat": 5, "dog": 6}
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="12 of 12 images"):
        look(Experiment(data=str(tmp_path)))


def test_look_finds_the_range_of_deep_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in numbered("a", "b", count=2):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 4096, (20, 20)).astype(np.uint16)).save(tmp_path / name)
    facts = look(Experiment(data=str(tmp_path)))
    assert (facts.value_range, facts.grey, facts.folds) == ((0.0, 4095.0), True, 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat/0.png", "cat/1.png", "dog/0.png"), "at least 2 images of each class"),
        (("cat/0.png", "cat/1.png"), "one class only"),
        (("0.png",), "has no classes"),
    ],
)
def test_look_refuses_images_that_no_run_can_use(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    draw_into(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        look(Experiment(data=str(tmp_path)))
