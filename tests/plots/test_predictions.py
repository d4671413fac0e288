"""All plots of a set of predictions, also with odd names and few images; and the gallery of errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from harness.evaluation.calibration import calibration
from harness.evaluation.predictions import Predictions
from harness.plots.gallery import COLUMNS, MOST, SIDE, draw_errors, thumbnail
from harness.plots.predictions import draw_predictions
from harness.util.files import short
from tests.plots.conftest import texts, tick_labels

NAMES = ["abstention", "confusion", "confusion_normalised", "errors", "precision_recall", "reliability"]
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
def test_draw_predictions_of_2_of_20_and_of_oddly_named_classes(
    classes: tuple[str, ...], tmp_path: Path, figures: list[Figure], written: list[str]
) -> None:
    draw_predictions(tmp_path, "a $title_", predictions(classes, 300), tmp_path)
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == NAMES
    for name in NAMES:
        width, height = size(tmp_path / f"{name}.png")
        assert 300 < width < 2000, name
        assert 300 < height < 2000, name
    counts, shares, curves, reliability, abstention = figures
    assert [figure.get_suptitle().split(":")[0] for figure in figures] == ["a $title_"] * 5
    labels = [short(name) for name in classes]
    for figure in (counts, shares):
        assert tick_labels(figure.axes[0].xaxis) == labels
        assert not any(label.get_parse_math() for label in figure.axes[0].get_xticklabels())  # "$" is a letter
        assert [label.rpartition(" (")[0] for label in tick_labels(figure.axes[0].yaxis)] == labels
    assert counts.axes[0].images[0].get_array().sum() == 300
    assert shares.axes[0].images[0].get_array().sum(1).tolist() == pytest.approx([100] * len(classes))
    named = {text.rpartition(": ")[0] for text in texts(curves.axes[0].get_legend())}
    assert named <= {*labels, "the 15 others"}
    assert len(named) == min(len(classes), 6)
    assert sum(bar.get_height() for bar in reliability.axes[1].patches) == 300
    rows = predictions(classes, 300)
    assert f" {100 * calibration(rows.labels, rows.probabilities).error:.1f} % (" in reliability.get_suptitle()
    assert abstention.axes[0].lines[0].get_ydata()[0] == pytest.approx(100 * rows.accuracy.value)
    assert written[0].startswith("a $title_")
    assert {text.removeprefix("is ") for text in written if text.startswith("is ")} <= {
        short(name, 17) for name in classes
    }


@pytest.mark.parametrize("count", [1, 3], ids=["one image", "one class only"])
def test_draw_predictions_of_very_few_images(
    count: int, tmp_path: Path, figures: list[Figure], written: list[str]
) -> None:
    probabilities = np.full((count, 2), (0.8, 0.2))
    paths = tuple(f"sea/{number}.jpg" for number in range(count))
    rows = Predictions(("sea", "forest"), paths, np.ones(count, int), np.zeros(count, int), probabilities)
    draw_predictions(tmp_path, "few", rows, tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == len(NAMES)
    counts, shares, curves, *_ = figures
    assert counts.axes[0].images[0].get_array().tolist() == [[count, 0], [0, 0]]
    assert texts(shares.axes[0]) == ["100.0 %", "0.0 %", "–", "–"]
    assert texts(curves.axes[0].get_legend()) == ["sea: 1.000"]
    assert written[1] == f"0 of {count} predictions are wrong"


def test_draw_errors_shows_the_worst_errors_first(tmp_path: Path, written: list[str]) -> None:
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
    assert ((pixels == 225).all(2)).sum() > 1000  # a grey square for the missing file
    assert written[:2] == ["errors", "3 of 4 predictions are wrong"]
    tiles = [tuple(written[start : start + 4]) for start in range(2, len(written), 4)]
    assert tiles == [
        ("is sea", "said forest", "with 90 %", "bad.png"),
        ("is sea", "said forest", "with 70 %", "gone.png"),
        ("is sea", "said forest", "with 60 %", "mild.png"),
    ]


def test_draw_errors_limits_the_number_of_images(tmp_path: Path, written: list[str]) -> None:
    def wrong(count: int) -> Predictions:
        paths = tuple(f"{i}.png" for i in range(count))
        shares = np.array([(0.5 + i / 1000, 0.5 - i / 1000) for i in range(count)])
        return Predictions(("forest", "sea"), paths, np.ones(count, int), np.ones(count, int), shares)

    draw_errors(tmp_path / "many.png", "errors", wrong(MOST + 3), tmp_path)
    assert written[1] == f"{MOST + 3} of {MOST + 3} predictions are wrong; these are the {MOST} worst"
    assert [text for text in written if text.endswith(".png")] == [f"{i}.png" for i in range(MOST + 2, 2, -1)]
    with Image.open(tmp_path / "many.png") as image:
        grey = (np.asarray(image.convert("RGB")) == 225).all(2).sum()
    assert grey == pytest.approx(MOST * SIDE * SIDE, rel=0.02)  # no tile covers another one
    draw_errors(tmp_path / "row.png", "errors", wrong(COLUMNS), tmp_path)
    (width, height), (same, one_row) = size(tmp_path / "many.png"), size(tmp_path / "row.png")
    assert width == same
    assert height - one_row == (MOST // COLUMNS - 1) * (
        one_row - 56
    )  # without the title, all rows have the same height


def test_thumbnail_is_the_whole_image_on_white() -> None:
    wide = thumbnail(Image.new("RGB", (400, 100), "black"))
    assert wide.shape == (SIDE, SIDE, 3)
    assert (wide == 0).all(2).sum() == SIDE * SIDE // 4
    assert (wide == 255).all(2).sum() == SIDE * SIDE * 3 // 4
    assert (thumbnail(Image.new("RGB", (1, 1), "black")) == 0).all()


def test_short_shortens_long_names_in_the_middle() -> None:
    assert short("a_very_long_name_of_a_class_7") == "a_very_long_…ass_7"
    assert len(short("x" * 50)) == 18
    assert short("sea") == "sea"
