"""Records distinguish two objects of one class by their arguments, which other projects' records have lost."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.config.experiment import Experiment
from harness.config.object_text import FUNCTION_NAME, LONGEST, is_same_name, is_same_record, object_text, without_module
from harness.engine.callbacks import GradientClipping
from harness.engine.trainer import Callback
from harness.errors import UsageError
from harness.tuning.settings_difference import require_same

HERE = __name__


class Focal(nn.Module):
    """Stores its argument under another name."""

    def __init__(self, gamma: float = 2.0, body: Any = None) -> None:
        super().__init__()
        self.g = gamma
        self.body = body

    def weigh(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets) * self.g


class Colour(enum.Enum):
    RED = 1


@dataclass
class Options:
    size: int
    colour: Colour = Colour.RED
    paths: tuple[Path, ...] = ()


class Odd:
    def __init__(self, size: int, *rest: int, secret: Callable[..., object] | None = None) -> None:
        self._size = size
        self.me = self

    @property
    def secret(self) -> object:
        raise OSError("no")


class Plain:
    pass


def smoothed(by: float) -> Callable[..., Tensor]:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=by)

    return loss


CLIP = "harness.callbacks.gradient_clipping:GradientClipping"
PARTIAL = "functools:partial(func=torch.nn.functional:cross_entropy"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (GradientClipping(50), "harness.callbacks.gradient_clipping:GradientClipping(max_norm=50)"),
        (GradientClipping(), "harness.callbacks.gradient_clipping:GradientClipping()"),
        (GradientClipping, "harness.callbacks.gradient_clipping:GradientClipping"),
        (nn.CrossEntropyLoss(), "torch.nn.modules.loss:CrossEntropyLoss()"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "torch.nn.modules.loss:CrossEntropyLoss(label_smoothing=0.1)"),
        (nn.CrossEntropyLoss(torch.ones(2)), "torch.nn.modules.loss:CrossEntropyLoss(weight=[1.0, 1.0])"),
        (nn.CrossEntropyLoss(torch.ones(500)), "torch.nn.modules.loss:CrossEntropyLoss(weight=...)"),
        (Focal(3.0), f"{HERE}:Focal(g=3.0)"),
        (Focal(3.0).weigh, f"{HERE}:Focal.weigh(self={HERE}:Focal(g=3.0))"),
        (Focal(body=GradientClipping(2)), f"{HERE}:Focal(body={CLIP}(max_norm=2), g=2.0)"),
        (functools.partial(F.cross_entropy, label_smoothing=0.2), f"{PARTIAL}, label_smoothing=0.2)"),
        (functools.partial(F.cross_entropy, 1), f"{PARTIAL}, args=[1])"),
        (Options(3, paths=(Path("a"),)), f"{HERE}:Options(size=3, paths=({Path('a')!r}))"),
        (Options(3, "x" * 200), f"{HERE}:Options(size=3, colour=...)"),  # type: ignore[arg-type]
        (Odd(3), f"{HERE}:Odd(size=3)"),
        (Plain(), f"{HERE}:Plain()"),
        (smoothed(0.3), f"{HERE}:smoothed.<locals>.loss(by=0.3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "of",
)
def test_object_text_has_the_arguments(value: Any, text: str) -> None:
    """As in https://github.com/automl/SMAC3/pull/1045 and https://github.com/mesop-dev/mesop/pull/789."""
    assert object_text(value) == text
    assert FUNCTION_NAME.fullmatch(text)
    assert " at 0x" not in text


def test_object_text_of_a_lambda_has_no_memory_address() -> None:
    text = object_text(lambda logits, targets: logits)
    assert re.fullmatch(rf"{HERE}:test_object_text_of_a_lambda\w+\.<locals>\.<lambda>", text)
    assert FUNCTION_NAME.fullmatch(text)


def test_object_text_has_a_maximum_length() -> None:
    ring: list[Any] = []
    ring.append(ring)
    text = object_text(Focal(body=[ring, {"model": nn.Linear(2, 2), "at": object()}]))
    assert " at 0x" not in text
    many = functools.partial(F.cross_entropy, **{f"a{i}": "b" * 50 for i in range(100)})
    assert len(object_text(many)) == LONGEST
    assert FUNCTION_NAME.fullmatch(object_text(many))


def test_to_dict_differs_if_a_callback_has_other_arguments() -> None:
    records = [str(Experiment(callbacks=[GradientClipping(norm)]).to_dict()) for norm in (1.0, 50.0)]
    assert records[0] != records[1]


def test_without_module_removes_only_the_first_module() -> None:
    assert without_module("a.b:Loss(by=c.d:f)") == "Loss(by=c.d:f)"
    assert without_module("adam") == "adam"


def test_function_name_matches_no_regular_expression_of_groups() -> None:
    for pattern in (r"patient:(\d+)", r"(\w+)_", "folder", r"id:x(\d)", "C:\\images"):
        assert not FUNCTION_NAME.fullmatch(pattern)


def test_is_same_record_ignores_arguments_in_records_of_0_1_0() -> None:
    name, text = "harness.callbacks.gradient_clipping:GradientClipping", object_text(GradientClipping(5))
    assert is_same_record([name], [text])
    assert not is_same_record([object_text(GradientClipping(1.5))], [text])
    assert not is_same_record([name], [text, text])
    assert not is_same_record(name + "s", text)
    assert is_same_name([object_text(GradientClipping(1.5)), 1], [text, 1])
    assert not is_same_name([text], [name + "s"])
    assert not is_same_name("adam", text)
    now = Experiment(callbacks=[GradientClipping(5)]).to_dict()
    require_same("study", {"experiment": {**now, "callbacks": [name]}}, {"experiment": now})
    other = Experiment(callbacks=[GradientClipping(6)]).to_dict()
    with pytest.raises(UsageError, match="was started with other settings"):
        require_same("study", {"experiment": other}, {"experiment": now})


class Mine(Callback):
    pass


def test_object_text_of_an_object_and_of_its_class_differ() -> None:
    assert object_text(Mine()) == f"{HERE}:Mine()"
    assert object_text(Mine) == f"{HERE}:Mine"
