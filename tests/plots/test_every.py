"""Every picture, of what is hard to draw. That they are good to look at, only a person can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.evaluation.accuracy import Prediction
from harness.plots.curves import draw_curves
from harness.plots.every import as_arrays, draw_predictions
from harness.plots.gallery import SIDE, draw_errors, thumbnail
from harness.util.files import short

NAMES = ["confusion", "confusion_normalised", "errors", "precision_recall", "reliability"]
ODD = ("_hidden", "$x_1", "a^{b", "森", "x" * 80)


def predictions(classes: tuple[str, ...], count: int, wrong: float = 0.2) -> list[Prediction]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = number % len(classes)
        chances = rng.dirichlet(np.ones(len(classes)))
        top = label if rng.random() > wrong else (label + 1) % len(classes)
        chances[top] += 1
        chances /= chances.sum()
        name = classes[label]
        rows.append(Prediction(f"{name}/{number}.jpg", 1, name, classes[top], tuple(chances.tolist())))
    return rows


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("classes", [("sea", "forest"), tuple(f"class{i}" for i in range(20)), ODD], ids=len)
def test_every_picture_for_2_for_20_and_for_odd_names(classes: tuple[str, ...], tmp_path: Path) -> None:
    draw_predictions(tmp_path, "a $title_", predictions(classes, 300), classes, tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == NAMES
    for name in NAMES:
        width, height = size(tmp_path / f"{name}.png")
        assert 300 < width < 2000, name
        assert 300 < height < 2000, name


@pytest.mark.parametrize("count", [1, 3], ids=["one image", "one class only"])
def test_very_few_predictions(count: int, tmp_path: Path) -> None:
    rows = [row for row in predictions(("sea", "forest"), 6, wrong=0) if row.label == "sea"][:count]
    draw_predictions(tmp_path, "few", rows, ("sea", "forest"), tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == len(NAMES)


def test_the_gallery_shows_the_surest_errors_first_with_their_own_pixels(tmp_path: Path) -> None:
    colours = {"mild": (255, 0, 0), "bad": (0, 255, 0), "right": (0, 0, 255)}
    for name, colour in colours.items():
        Image.new("RGB", (64, 32), colour).save(tmp_path / f"{name}.png")
    rows = [
        Prediction("mild.png", 1, "sea", "forest", (0.6, 0.4)),
        Prediction("bad.png", 1, "sea", "forest", (0.9, 0.1)),
        Prediction("right.png", 1, "sea", "sea", (0.0, 1.0)),
        Prediction("gone.png", 1, "sea", "forest", (0.7, 0.3)),
    ]
    draw_errors(tmp_path / "out.png", "errors", rows, ("forest", "sea"), tmp_path)
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


def test_predictions_as_arrays_and_long_names() -> None:
    rows = [Prediction("a", 1, "sea", "forest", (0.6, 0.4))]
    labels, predicted, probabilities = as_arrays(rows, ["forest", "sea"])
    assert (labels.tolist(), predicted.tolist(), probabilities.tolist()) == ([1], [0], [[0.6, 0.4]])
    assert short("a_very_long_name_of_a_class_7") == "a_very_long_…ass_7"
    assert len(short("x" * 50)) == 18
    assert short("sea") == "sea"
