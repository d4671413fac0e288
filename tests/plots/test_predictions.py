"""Every picture, of what is hard to draw. That they are good to look at, only a person can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.evaluation.predictions import Predictions
from harness.plots.curves import draw_curves
from harness.plots.gallery import SIDE, draw_errors, thumbnail
from harness.plots.predictions import draw_predictions
from harness.util.files import short

NAMES = ["confusion", "confusion_normalised", "errors", "precision_recall", "reliability"]
ODD = ("_hidden", "$x_1", "a^{b", "森", "x" * 80)


def predictions(classes: tuple[str, ...], count: int, wrong: float = 0.2) -> Predictions:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = number % len(classes)
        chances = rng.dirichlet(np.ones(len(classes)))
        top = label if rng.random() > wrong else (label + 1) % len(classes)
        chances[top] += 1
        chances /= chances.sum()
        rows.append((f"{classes[label]}/{number}.jpg", label, chances))
    paths, labels, probabilities = zip(*rows, strict=True)
    return Predictions(classes, paths, np.ones(count, int), np.array(labels), np.array(probabilities))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("classes", [("sea", "forest"), tuple(f"class{i}" for i in range(20)), ODD], ids=len)
def test_every_picture_for_2_for_20_and_for_odd_names(classes: tuple[str, ...], tmp_path: Path) -> None:
    draw_predictions(tmp_path, "a $title_", predictions(classes, 300), tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == NAMES
    for name in NAMES:
        width, height = size(tmp_path / f"{name}.png")
        assert 300 < width < 2000, name
        assert 300 < height < 2000, name


@pytest.mark.parametrize("count", [1, 3], ids=["one image", "one class only"])
def test_very_few_predictions(count: int, tmp_path: Path) -> None:
    probabilities = np.full((count, 2), (0.8, 0.2))
    paths = tuple(f"sea/{number}.jpg" for number in range(count))
    rows = Predictions(("sea", "forest"), paths, np.ones(count, int), np.zeros(count, int), probabilities)
    draw_predictions(tmp_path, "few", rows, tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == len(NAMES)


def test_the_gallery_shows_the_surest_errors_first_with_their_own_pixels(tmp_path: Path) -> None:
    colours = {"mild": (255, 0, 0), "bad": (0, 255, 0), "right": (0, 0, 255)}
    for name, colour in colours.items():
        Image.new("RGB", (64, 32), colour).save(tmp_path / f"{name}.png")
    rows = Predictions(
        ("forest", "sea"),
        ("mild.png", "bad.png", "right.png", "gone.png"),
        np.ones(4, int),
        np.ones(4, int),
        np.array([(0.6, 0.4), (0.9, 0.1), (0.0, 1.0), (0.7, 0.3)]),
    )
    draw_errors(tmp_path / "out.png", "errors", rows, tmp_path)
    with Image.open(tmp_path / "out.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    at = {name: np.argwhere((abs(pixels - colour) < 40).all(2)).mean(0) for name, colour in list(colours.items())[:2]}
    assert at["bad"][1] < at["mild"][1]  # from left to right
    assert not (abs(pixels - colours["right"]) < 40).all(2).any()
    assert ((pixels == 225).all(2)).sum() > 1000  # a grey square, where the file has gone


def test_a_thumbnail_is_the_whole_image_on_white() -> None:
    wide = thumbnail(Image.new("RGB", (400, 100), "black"))
    assert wide.shape == (SIDE, SIDE, 3)
    assert (wide == 0).all(2).sum() == SIDE * SIDE // 4
    assert (wide == 255).all(2).sum() == SIDE * SIDE * 3 // 4
    assert (thumbnail(Image.new("RGB", (1, 1), "black")) == 0).all()


def test_curves_of_one_epoch_of_unequal_folds_and_of_what_is_no_number(tmp_path: Path) -> None:
    row = {"train_loss": 1.0, "valid_loss": 0.9, "train_accuracy": 0.5, "valid_accuracy": 0.6}
    draw_curves(tmp_path / "one.png", "one", [{"fold": 1, "epoch": 1, **row}], {})
    many = [{"fold": fold, "epoch": epoch, **row} for fold, last in ((1, 3), (2, 5)) for epoch in range(1, last + 1)]
    many[1]["train_loss"] = None
    del many[2]["valid_accuracy"]
    draw_curves(tmp_path / "many.png", "many", many, {1: 2, 2: 9})
    assert size(tmp_path / "one.png") == size(tmp_path / "many.png")


def test_long_names_are_cut_in_the_middle() -> None:
    assert short("a_very_long_name_of_a_class_7") == "a_very_long_…ass_7"
    assert len(short("x" * 50)) == 18
    assert short("sea") == "sea"
