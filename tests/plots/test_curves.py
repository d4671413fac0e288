from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from harness.plots.curves import draw_curves
from harness.plots.figure import BLUE, ORANGE
from tests.plots.conftest import points, texts


def rows(fold: int, *losses: float | None) -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl` for one fold. The validation loss is half the training loss."""
    return [
        {
            "fold": fold,
            "epoch": epoch,
            "train_loss": loss,
            "valid_loss": None if loss is None else loss / 2,
            "train_accuracy": 0.5 + epoch / 100,
            "valid_accuracy": 0.6 + epoch / 100,
        }
        for epoch, loss in enumerate(losses, start=1)
    ]


def drawn(axes: Any, colour: str) -> list[list[tuple[float, float]]]:
    """The points of each line with this colour."""
    return [points(line) for line in axes.lines if to_hex(line.get_color()).upper() == colour.upper()]


def test_draw_curves_of_one_fold(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(tmp_path / "x.png", "the title", rows(1, 1.0, 0.5), {1: 2})
    (figure,) = figures
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "the title"
    assert drawn(loss, ORANGE) == [[(1, 1.0), (2, 0.5)]]
    assert drawn(loss, BLUE) == [[(1, 0.5), (2, 0.25)], [(2, 0.25)]]  # the last is the mark of the best epoch
    assert drawn(accuracy, ORANGE) == [[(1, 51), (2, 52)]]
    assert drawn(accuracy, BLUE) == [[(1, 61), (2, 62)], [(2, 62)]]
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch", "epoch"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy (%)"]
    key = accuracy.get_legend()
    assert texts(key) == ["training", "validation", "evaluated epoch"]
    assert [handle.get_color().upper() for handle in key.legend_handles] == [ORANGE, BLUE, BLUE]
    assert [handle.get_marker() for handle in key.legend_handles] == ["None", "None", "o"]


def test_draw_curves_of_one_epoch_shows_a_point(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(tmp_path / "x.png", "one", rows(1, 1.0), {})
    for axes in figures[0].axes:
        assert [len(line.get_xdata()) for line in axes.lines] == [1, 1]
        assert all(line.get_marker() == "." for line in axes.lines)


def test_draw_curves_adds_the_mean_over_epochs_that_all_folds_have_reached(
    tmp_path: Path, figures: list[Figure]
) -> None:
    draw_curves(tmp_path / "x.png", "two", [*rows(1, 1.0, 0.5), *rows(2, 3.0, 1.5, 1.0)], {1: 2, 2: 9})
    loss, _ = figures[0].axes
    first, second, mean = drawn(loss, ORANGE)
    assert first == [(1, 1.0), (2, 0.5)]
    assert second == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert mean == [(1, 2.0), (2, 1.0)]
    assert [(2, 0.25)] in drawn(loss, BLUE)  # fold 2 has no epoch 9 to mark
    assert sum(len(line) == 1 for line in drawn(loss, BLUE)) == 1
    thin, thick = loss.lines[0].get_linewidth(), loss.lines[2].get_linewidth()
    assert thin < thick


def test_draw_curves_leaves_out_missing_values(tmp_path: Path, figures: list[Figure]) -> None:
    many = rows(1, 1.0, None, 0.5)
    del many[2]["valid_accuracy"]
    draw_curves(tmp_path / "x.png", "gaps", many, {1: 3})
    loss, accuracy = figures[0].axes
    assert drawn(loss, ORANGE) == [[(1, 1.0), (3, 0.5)]]
    assert drawn(accuracy, BLUE) == [[(1, 61), (2, 62)]]  # and no mark for the best epoch, which has no accuracy
