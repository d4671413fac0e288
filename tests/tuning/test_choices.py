from __future__ import annotations

import enum
import json
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from harness.errors import ExperimentError
from harness.tuning.choices import kept_choices, literal, plain


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Depth(enum.IntEnum):
    SHALLOW = 2
    DEEP = 4


class Odd:
    """A value that can be neither compared nor printed."""

    def __eq__(self, other: object) -> bool:
        raise TypeError("no")

    def __repr__(self) -> str:
        raise TypeError("no")


def refused(choices: Any) -> ExperimentError:
    with pytest.raises(ExperimentError) as caught:
        kept_choices("widths", choices, "search_space (own.py:3)")
    assert caught.value.what.startswith("search_space (own.py:3): the choices of 'widths' ")
    return caught.value


@pytest.mark.parametrize(
    "choices",
    [
        [(64,), (128, 64)],
        [[1], [2]],
        [torch.optim.Adam, torch.optim.RMSprop],
        [torch.nn.functional.relu, torch.nn.functional.gelu],
        [Colour.RED, Colour.BLUE],
        [*Depth],
        [0.1, float("nan")],
        [True, 1],
        [0, 0.0, 1],
    ],
)
def test_kept_choices_shows_code_that_works(choices: list[Any]) -> None:
    """Reported as optuna#2341, #4893 (tuples become lists), #1827 (functions), #3291 (enums) and #6662 (NaN)."""
    code = refused(choices).fix
    assignment, _, expression = code.partition("; ")
    names: dict[str, Any] = {"torch": torch, "Colour": Colour, "Depth": Depth}
    exec(assignment.replace(f"{__name__}.", ""), names)
    for chosen, value in zip(names["options"], choices, strict=True):
        trial = optuna.trial.FixedTrial({"widths": chosen})
        made = eval(expression, names, {"trial": trial})
        assert made is value or made == value or made != made  # NaN
    assert kept_choices("widths", list(names["options"]), "") == list(names["options"])


def test_kept_choices_refuses_choices_that_are_not_a_list() -> None:
    assert refused("resnet18").fix == "trial.suggest_categorical('widths', ['resnet18'])"
    assert "are not a list" in refused(5).what
    assert "differs between processes" in refused({"b", "a"}).why
    assert refused({"b", "a"}).fix.endswith("['a', 'b'])")
    assert "contain <Odd>" in refused([Odd()]).what
    for huge in (10**400, 10**5000):  # Optuna compares choices as floats
        assert "contain" in refused([huge]).what


def test_kept_choices_accepts_any_iterable_of_plain_values() -> None:
    values = [None, True, 2, 0.5, float("inf"), "größe"]
    assert kept_choices("x", values, "") == values
    assert kept_choices("x", (value for value in (16, 32)), "") == [16, 32]
    assert kept_choices("x", {"a": 1, "b": 2}, "") == kept_choices("x", {"a": 1, "b": 2}.keys(), "") == ["a", "b"]
    assert kept_choices("x", [16, 16, 32], "") == [16, 16, 32]
    numbers = kept_choices("x", [np.int64(1), np.float32(0.5), np.str_("a"), np.bool_(False)], "")
    assert [type(number) for number in numbers] == [int, float, str, bool]
    assert json.loads(json.dumps(kept_choices("x", np.array([4, 8]), ""))) == [4, 8]


def test_plain_changes_only_numbers_of_numpy() -> None:
    assert [type(value) for value in plain((np.int64(3), [np.float64(2)]))] == [int, list]
    assert plain(torch.relu) is torch.relu
    assert (literal(float("-inf")), literal(0.5), literal("a")) == ("float('-inf')", "0.5", "'a'")
