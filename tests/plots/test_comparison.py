from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from harness.data.decode import read
from harness.data.fingerprint import fingerprint
from harness.plots.comparison import LINES, Difference, Disputed, Place, draw_differences, draw_disagreements
from harness.plots.figure import BLUE, ORANGE
from tests.plots.conftest import points, texts, tick_labels

ROWS = [
    Difference("A − B", 2.5, (0.5, 4.5), True, "A is better (p 0.01)"),
    Difference("A − C", -0.5, (-2.0, 1.0), False, "no significant difference (p 0.4); about 300 more images"),
    Difference("B − C", 0.0, (-1.0, 1.0), False, "no difference at all"),
]


def test_draw_differences_has_a_row_for_each_pair_and_a_line_at_zero(tmp_path: Path, figures: list[Figure]) -> None:
    key = ["A: 97.0 %, run one; UNFINISHED: 1 of 3 folds, died", "B: 94.5 %, run two", "C: 94.5 %, run $x_1$"]
    draw_differences(tmp_path / "a.png", "differences", "on 100 images", ROWS, key)
    (figure,) = figures
    axes = figure.axes[0]
    assert tick_labels(axes.yaxis) == [row.label for row in ROWS]
    *drawn, zero = axes.lines
    intervals, dots = drawn[::2], drawn[1::2]
    assert [points(line) for line in intervals] == [
        [(0.5, 2), (4.5, 2)],
        [(-2, 1), (1, 1)],
        [(-1, 0), (1, 0)],
    ]
    assert [points(dot) for dot in dots] == [[(2.5, 2)], [(-0.5, 1)], [(0, 0)]]
    assert [line.get_color() for line in intervals] == [ORANGE, BLUE, BLUE]
    assert zero.get_xdata() == [0, 0]
    assert texts(axes.get_legend()) == ["significant", "no significant difference"]
    assert figure._supxlabel.get_text().split("\n") == key  # type: ignore[attr-defined]
    assert tick_labels(axes.child_axes[0].yaxis) == [row.verdict for row in ROWS]


@pytest.mark.parametrize("pairs", [1, 45])
def test_draw_differences_of_one_pair_and_of_many(tmp_path: Path, pairs: int, figures: list[Figure]) -> None:
    draw_differences(tmp_path / "a.png", "differences", "", [ROWS[1]] * pairs, ["x" * 300] * 10)
    assert texts(figures[0].axes[0].get_legend()) == ["no significant difference"]
    with Image.open(tmp_path / "a.png") as image:
        assert 900 < image.width < 1200
        assert 300 < image.height < 2400


def place(folder: Path, name: str, colour: str) -> Place:
    Image.new("RGB", (40, 40), colour).save(folder / name)
    return Place(folder, name, fingerprint(read((folder / name).read_bytes())), None)


def test_draw_disagreements_writes_each_prediction(tmp_path: Path, written: list[str]) -> None:
    here = place(tmp_path, "a.png", "blue")
    gone = Place(tmp_path, "nowhere.png", None, None)
    images = [
        Disputed("sea/a.png", "sea", [gone, here], [("A", "sea", 0.98, True), ("B", "forest", 0.6, False)]),
        Disputed("sea/b.png", "sea", [gone], [("A", "forest", 0.7, False), ("B", "sea", 0.999, True)]),
    ]
    assert draw_disagreements(tmp_path / "out.png", "title", "2 of 9", images) == 1
    assert written == [
        *("title", "2 of 9"),
        *("is sea", "A sea 98 %", "B forest 60 %", "a.png"),
        *("is sea", "A forest 70 %", "B sea 99.9 %", "b.png"),
    ]


def test_draw_disagreements_skips_a_file_with_other_pixels(tmp_path: Path) -> None:
    before = place(tmp_path, "a.png", "blue")
    place(tmp_path, "a.png", "red")
    image = Disputed("a.png", "sea", [before], [("A", "sea", 1.0, True)])
    assert draw_disagreements(tmp_path / "out.png", "title", "", [image]) == 0
    assert not (tmp_path / "out.png").exists()
    (tmp_path / "a.png").write_bytes(b"no image")
    assert draw_disagreements(tmp_path / "out.png", "title", "", [image]) == 0


def test_draw_disagreements_of_many_results_limits_the_lines(tmp_path: Path, written: list[str]) -> None:
    answers = [(f"S{i}", "sea", 0.5, True) for i in range(LINES + 5)]
    assert draw_disagreements(
        tmp_path / "out.png", "t", "", [Disputed("a", "sea", [place(tmp_path, "a.png", "red")], answers)]
    )
    assert len([text for text in written if text.startswith("S")]) == LINES
