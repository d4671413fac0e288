from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from harness.plots.figure import BLUE, GREY, ORANGE
from harness.plots.study import (
    Axis,
    Point,
    Study,
    draw_front,
    draw_history,
    draw_parallel,
    draw_slices,
)
from tests.plots.conftest import points, texts, tick_labels

AXES = [
    Axis("lr", low=1e-5, high=1e-1, log=True),
    Axis("freeze", choices=(False, "layer3", True)),
    Axis("epochs", low=2, high=8),
    Axis("only", choices=("one",)),
]


def study(values: list[float], metric: str = "valid_accuracy", axes: list[Axis] = AXES, **changes: Any) -> Study:
    rising = metric == "valid_accuracy"
    parameters = {"lr": 1e-3, "freeze": "layer3", "epochs": 4, "only": "one"}
    points = [
        Point(i, value, (value - 0.02, value + 0.02) if rising else None, i % 3 < 2, 1.0 + i, parameters)
        for i, value in enumerate(values)
    ]
    return Study("x, study y", metric, rising, points, **{"failed": [7], "axes": axes, **changes})


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("valid_accuracy", [0.9]),
        ("valid_accuracy", [0.5, 0.93, 0.95, 0.97, 0.96, 1.0]),
        ("valid_loss", [0.9] * 4),
        ("valid_loss", [0.0, 0.0]),
    ],
)
def test_draw_functions_draw_every_study(
    values: list[float], metric: str, tmp_path: Path, figures: list[Figure]
) -> None:
    seen = study(values, metric)
    draw_history(tmp_path / "history.png", seen)
    draw_slices(tmp_path / "slices.png", seen)
    draw_parallel(tmp_path / "parallel.png", seen)
    draw_front(tmp_path / "front.png", seen, [0])
    history, slices, parallel, front = figures
    label = "valid accuracy %" if metric == "valid_accuracy" else "valid loss"
    assert [figure.axes[0].get_ylabel() for figure in (history, slices, front)] == [label] * 3
    assert tick_labels(parallel.axes[0].xaxis) == ["lr", "freeze", "epochs", "only", label]
    assert [axes.get_xlabel() for axes in slices.axes] == ["lr", "freeze", "epochs", "only"]
    assert tick_labels(slices.axes[1].xaxis) == ["False", "layer3", "True"]
    for axes in (history.axes[0], *slices.axes, front.axes[0]):
        assert len(dots(axes)) == len(values)
    assert len(parallel.axes[0].patches) == len(values)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("front.png", "history.png", "parallel.png", "slices.png")
    ]


def dots(axes: Any) -> list[Any]:
    """The mark of each trial: a dot, or an arrow at the edge if the trial is worse than `edge`."""
    return [line for line in axes.lines if line.get_marker() in ("o", "v", "^")]


def test_draw_history_shows_each_trial_with_its_interval_and_the_best_so_far(
    tmp_path: Path, figures: list[Figure]
) -> None:
    seen = study([0.95, 0.96, 0.99, 0.97, 0.5])  # the third is pruned, the last is outside the axes
    draw_history(tmp_path / "x.png", seen)
    (axes,) = figures[0].axes
    assert figures[0].get_suptitle() == "x, study y: trials in order\n4 complete, 1 pruned, 1 failed"
    assert [points(dot) for dot in dots(axes)[:4]] == [[(0, 95)], [(1, 96)], [(2, 99)], [(3, 97)]]
    beyond = dots(axes)[4]
    assert (points(beyond), beyond.get_marker()) == ([(4, pytest.approx(seen.edge))], "v")
    assert [dot.get_markerfacecolor() == "white" for dot in dots(axes)] == [False, False, True, False, True]
    assert [dot.get_color() for dot in dots(axes)] == [BLUE, BLUE, BLUE, ORANGE, BLUE]  # the best of the complete ones
    bars = [points(line) for line in axes.lines if line.get_color() == GREY]
    assert bars[0] == [(0, 93), (0, 97)]
    assert len(bars) == 4
    (steps,) = (line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert points(steps) == [(0, 95), (1, 96), (2, 96), (3, 97), (4, 97)]
    (failed,) = (line for line in axes.lines if line.get_marker() == "x")
    assert failed.get_xdata() == [7]
    assert axes.get_xlabel() == "trial"
    assert axes.get_ylim() == pytest.approx(seen.limits())
    legend = texts(axes.get_legend())
    assert legend[:2] == ["complete", "the best"]
    assert [text.split(",")[0].split(" ")[0] for text in legend[2:]] == ["pruned", "worse", "failed", "the"]


def test_draw_slices_places_each_trial_by_its_parameter(tmp_path: Path, figures: list[Figure]) -> None:
    seen = study([0.95, 0.96])
    draw_slices(tmp_path / "x.png", seen)
    rate, freeze, epochs, _ = figures[0].axes
    assert [points(dot) for dot in dots(rate)] == [[(0.001, 95)], [(0.001, 96)]]
    assert rate.get_xscale() == "log"
    assert tick_labels(rate.xaxis) == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert [points(dot) for dot in dots(epochs)] == [[(4, 95)], [(4, 96)]]
    assert all(0.85 < dot.get_xdata()[0] < 1.15 for dot in dots(freeze))  # "layer3" is the second choice
    assert len({dot.get_xdata()[0] for dot in dots(freeze)}) == 2  # the dots do not cover each other


def test_draw_slices_leaves_out_a_trial_without_the_parameter(tmp_path: Path, figures: list[Figure]) -> None:
    seen = study([0.95, 0.96])
    bare = dataclasses.replace(seen.points[0], parameters={"lr": 1e-3})
    draw_slices(tmp_path / "x.png", dataclasses.replace(seen, points=[bare, seen.points[1]]))
    assert [len(dots(axes)) for axes in figures[0].axes] == [2, 1, 1, 1]


def test_draw_parallel_runs_each_trial_through_its_parameters_to_its_value(
    tmp_path: Path, figures: list[Figure]
) -> None:
    seen = study([0.95, 0.96, 0.99])
    draw_parallel(tmp_path / "x.png", seen)
    (axes,) = figures[0].axes
    low, high = seen.limits()
    first, second, third = dots(axes)
    assert points(first)[:4] == [(0, 0.5), (1, 0.5), (2, pytest.approx(1 / 3, abs=1e-5)), (3, 0.5)]
    for line, value in ((first, 95), (second, 96), (third, 99)):
        assert line.get_ydata()[-1] == pytest.approx((value - low) / (high - low))
    best = [patch for patch in axes.patches if patch.get_linewidth() > 2]
    assert [to_hex(patch.get_edgecolor()).upper() for patch in best] == [ORANGE]
    assert [patch.get_linestyle() == "-" for patch in axes.patches] == [True, True, False]  # the pruned one is dashed
    assert {"False", "layer3", "True", "1e-05", "0.1", "2", "8", "one"} <= {*texts(axes)}


def test_draw_front_joins_the_trials_of_the_front(tmp_path: Path, figures: list[Figure]) -> None:
    seen = study([0.95, 0.94, 0.99, 0.97])
    draw_front(tmp_path / "x.png", seen, [3, 0])
    (axes,) = figures[0].axes
    assert [points(dot) for dot in dots(axes)] == [[(1, 95)], [(2, 94)], [(3, 99)], [(4, 97)]]  # at its training time
    (front,) = (line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert points(front) == [(1, 95), (4, 97)]
    assert texts(axes) == ["trial 0", "trial 3"]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "training time (s)"


def test_study_limits_leave_out_a_few_bad_trials() -> None:
    low, high = study([0.95, 0.96, 0.97, 0.955, 0.5]).limits()
    assert 94 < low < 95.5
    assert high > 97
    low, high = study([0.1, 0.12, 0.11, 0.13, 5.0], "valid_loss").limits()
    assert low < 0.1
    assert high < 1


def test_axis_position_is_between_0_and_1() -> None:
    lr, freeze, epochs, only = AXES
    assert lr.position(1e-3) == pytest.approx(0.5)
    assert (lr.position(1e-5), lr.position(1e-1)) == (0, 1)
    assert [freeze.position(choice) for choice in freeze.choices] == [0, 0.5, 1]
    assert epochs.position(5) == 0.5
    assert only.position("one") == 0.5
    assert Axis("same", low=3, high=3).position(3) == 0.5


def test_study_best_is_a_complete_trial() -> None:
    seen = study([0.9, 0.91, 0.99])  # the third is pruned
    assert seen.best.trial == 1
    assert math.isclose(seen.best.value, 0.91)
