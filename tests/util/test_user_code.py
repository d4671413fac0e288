from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import DataError, Terminated, UserCodeError
from harness.models.build import build
from harness.models.small_cnn import SmallCNN
from harness.util.user_code import calling, described, is_users, name_of, place_of

HERE = Path(__file__)


def fails(*_: object) -> None:
    raise ValueError("no")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, images: Any) -> Any:
        return images


def line_of(text: str) -> int:
    return HERE.read_text().splitlines().index(text) + 1


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (fails, "def fails(*_: object) -> None:"),
        (functools.partial(fails, 1), "def fails(*_: object) -> None:"),
        (Net, "    def __init__(self) -> None:"),
        (Net(), "    def forward(self, images: Any) -> Any:"),
        (Net().forward, "    def forward(self, images: Any) -> Any:"),
        (nn.CrossEntropyLoss(), None),
        (torch.optim.SGD, None),
        (len, None),
        (SmallCNN, None),
        (5, None),
    ],
)
def test_place_of_is_the_first_line_of_the_users_code(function: object, line: str | None) -> None:
    location = place_of(function)
    assert location == ("" if line is None else f"tests/util/test_user_code.py:{line_of(line)}")


def test_name_of_is_the_name_of_the_function_or_of_the_class() -> None:
    names = [name_of(f) for f in (fails, functools.partial(fails), Net, nn.BCELoss(), lambda: 1, Net().forward)]
    assert names == ["fails", "fails", "Net", "BCELoss", "<lambda>", "Net.forward"]


def test_is_users_distinguishes_the_users_code_from_libraries() -> None:
    others = [json.__file__, torch.__file__, sys.modules["harness"].__file__, "<frozen importlib._bootstrap>"]
    assert not any(is_users(str(file)) for file in others)
    assert is_users(str(HERE))
    assert is_users("experiments/x.py")
    assert is_users("/usr/src/app/experiments/x.py")


def test_described_names_the_type_of_a_value() -> None:
    values = (None, 1, [1], torch.zeros(2, 3), torch.zeros(1, device="meta", dtype=torch.half))
    assert [described(value) for value in values] == [
        *("None", "an int", "a list", "a tensor (2, 3) of float32 on cpu", "a tensor (1,) of float16 on meta"),
    ]


@pytest.mark.parametrize("error", [DataError("a", "b", "c"), KeyboardInterrupt(), Terminated(), GeneratorExit()])
def test_calling_does_not_change_harness_errors_and_signals(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, calling("loss", fails):
        raise error
    assert caught.value is error


def test_calling_does_not_change_errors_of_this_package() -> None:
    with pytest.raises(TypeError):
        build(SmallCNN, "two", (3, 32, 32))  # type: ignore[arg-type]


def test_calling_names_the_line_and_hides_passwords() -> None:
    def connects() -> None:
        raise OSError("cannot reach postgresql://me:hunter2@db/x")

    with pytest.raises(UserCodeError) as caught, calling("model", connects):
        connects()
    assert caught.value.what.startswith("model connects failed at tests/util/test_user_code.py:")
    assert "OSError: cannot reach" in caught.value.why
    assert "hunter2" not in str(caught.value)
