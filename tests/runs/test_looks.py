from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.evaluation.predictions import Predictions
from harness.runs.looks import FILE, Looks, add_look


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(images: range, wrong: tuple[int, ...] = ()) -> Predictions:
    """Predictions of images with these fingerprints. The predictions of the images in `wrong` are wrong."""
    right = np.array([image not in wrong for image in images])
    zeros = np.zeros(len(images), np.int64)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    paths = tuple(f"{image}.png" for image in images)
    return Predictions(("a", "b"), paths, zeros, zeros, probabilities, fingerprints=np.array(images, np.int64))


def look(images: range, model: str, wrong: tuple[int, ...] = ()) -> Looks:
    looks = add_look(made(images, wrong), model, f"run-{model}")
    assert looks is not None
    return looks


def test_add_look_counts_tests_and_models() -> None:
    assert str(look(range(35), "a")) == "the first test on these 35 images"
    again = look(range(35), "a")
    assert (again.tests, again.models, again.luck) == (2, 1, 0.0)
    assert str(again) == "test number 2 on these 35 images, with 1 model so far"
    third = look(range(35), "b", wrong=(1, 2, 3, 4))
    assert (third.tests, third.models) == (3, 2)
    assert third.luck == pytest.approx(0.56419 * np.sqrt(4 / 35 / 70), rel=1e-4)
    rest = "with 2 models so far; if all were equally good, the best would look 2.3 points too good by chance"
    assert str(third).endswith(rest)


def test_add_look_identifies_images_by_their_pixels() -> None:
    """One more image, another order or another folder do not make a new test set. Other images do."""
    for model in "abc":
        look(range(35), model)
    more = look(range(36), "d")
    assert (more.tests, more.images, more.n, more.models) == (4, 35, 36, 4)
    assert str(more).startswith("test number 4 on 35 of these 36 images")
    assert look(range(34, -1, -1), "e").tests == 5
    assert look(range(100, 135), "e").tests == 1
    assert str(look(range(30, 66), "f")) == "the first test on 30 of these 36 images"
    assert str(look(range(200, 210), "f")) == "the first test on these 10 images"


def test_add_look_skips_incomplete_lines() -> None:
    look(range(35), "a")
    with FILE.open("a") as file:
        file.write('{"test": "run-b", "time": "2026')
    assert look(range(35), "b").tests == 2
    FILE.write_text(f'[1]\n{{"set": 3}}\n{{"images": "%"}}\nnull\n{FILE.read_text()}')
    assert look(range(35), "c").tests == 3


def test_add_look_returns_none_if_the_list_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path(".harness").symlink_to(tmp_path / "elsewhere")
    assert add_look(made(range(3)), "a", "run") is None
    assert not list((tmp_path / "elsewhere").iterdir())


def test_add_look_keeps_the_list_small() -> None:
    for model in range(20):
        look(range(5000), str(model), wrong=tuple(range(model)))
    assert FILE.stat().st_size < 5000 * 8 * 4 / 3 + 20 * 1100
