from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.plots.study import (
    Axis,
    Point,
    Study,
    draw_front,
    draw_history,
    draw_importances,
    draw_parallel,
    draw_slices,
)

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


def drawn(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).std() > 5  # something is on it
        return image.size


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("valid_accuracy", [0.9]),
        ("valid_accuracy", [0.5, 0.93, 0.95, 0.97, 0.96, 1.0]),
        ("valid_loss", [0.9] * 4),
        ("valid_loss", [0.0, 0.0]),
    ],
)
def test_every_study_can_be_drawn(values: list[float], metric: str, tmp_path: Path) -> None:
    seen = study(values, metric)
    draw_history(tmp_path / "history.png", seen)
    draw_slices(tmp_path / "slices.png", seen)
    draw_parallel(tmp_path / "parallel.png", seen)
    draw_front(tmp_path / "front.png", seen, [0])
    for path in tmp_path.iterdir():
        drawn(path)


def test_few_bad_trials_do_not_squeeze_the_good_ones_together() -> None:
    low, high = study([0.95, 0.96, 0.97, 0.955, 0.5]).limits()
    assert 94 < low < 95.5
    assert high > 97
    low, high = study([0.1, 0.12, 0.11, 0.13, 5.0], "valid_loss").limits()
    assert low < 0.1
    assert high < 1


def test_a_value_has_its_place_on_an_axis() -> None:
    lr, freeze, epochs, only = AXES
    assert lr.place(1e-3) == pytest.approx(0.5)
    assert (lr.place(1e-5), lr.place(1e-1)) == (0, 1)
    assert [freeze.place(choice) for choice in freeze.choices] == [0, 0.5, 1]
    assert epochs.place(5) == 0.5
    assert only.place("one") == 0.5
    assert Axis("same", low=3, high=3).place(3) == 0.5


def test_the_best_is_one_that_is_complete() -> None:
    seen = study([0.9, 0.91, 0.99])  # the third is pruned
    assert seen.best.trial == 1
    assert math.isclose(seen.best.value, 0.91)


def test_importances_are_drawn_by_name(tmp_path: Path) -> None:
    draw_importances(tmp_path / "importances.png", "x", {"lr": 0.7, "freeze": 0.3}, "of 20 trials")
    assert drawn(tmp_path / "importances.png")[0] > 400
