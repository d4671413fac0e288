from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.engine.callbacks import LearningRateSchedule
from harness.engine.failed_part import failed_part
from harness.engine.trainer import EVENTS, Callback, State, Trainer
from harness.errors import UserCodeError
from tests.toy import examples, fit


class OddError(Exception):
    pass


def fails(*_: object, **__: object) -> Any:
    raise OddError


def failing_in(event: str) -> Callback:
    return type("Mine", (Callback,), {event: fails})()


def train(model: nn.Module, optimizer: torch.optim.Optimizer | None = None, **options: Any) -> State:
    trainer = Trainer(device="cpu", precision="fp32", **options)
    return trainer.fit(model, optimizer or torch.optim.SGD([torch.zeros(1)], 0.1), examples(), None, 1)


class FailingModel(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return fails()  # type: ignore[no-any-return]


class FailingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    backward = staticmethod(fails)


class FailingStep(torch.optim.SGD):
    step = fails


class FailingScheduler:
    step = fails


PLACES: dict[str, Callable[[], object]] = {
    "forward": lambda: train(FailingModel(4, 2)),
    "loss": lambda: fit(loss=fails),
    "backward": lambda: fit(loss=lambda logits, targets: FailingBackward.apply(logits.sum())),
    "optimizer": lambda: train(nn.Linear(4, 2), FailingStep([torch.zeros(1)], 0.1)),
    "metric": lambda: fit(metrics={"wrong": fails}),
    "scheduler": lambda: fit(LearningRateSchedule(lambda optimizer, total: FailingScheduler())),
}


@pytest.mark.parametrize("part", PLACES)
def test_failed_part_names_the_part(part: str) -> None:
    with pytest.raises(OddError) as caught:
        PLACES[part]()
    failed = failed_part(caught.value)
    assert failed is not None
    assert failed.part == part
    assert isinstance(failed.state, State)


@pytest.mark.parametrize("event", EVENTS)
def test_failed_part_names_the_callback_and_event_and_keeps_the_error(event: str) -> None:
    mine = failing_in(event)
    with pytest.raises(OddError) as caught:
        fit(Callback(), mine, Callback())
    failed = failed_part(caught.value)
    assert failed is not None
    assert (failed.part, failed.event) == ("callback", event)
    if event != "on_fit_end":
        assert failed.function == getattr(mine, event)


def test_failed_part_is_none_for_an_error_outside_a_fit() -> None:
    with pytest.raises(OddError) as caught:
        fails()
    assert failed_part(caught.value) is None


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda logits, targets: 1.0, "returned a float"),
        (lambda logits, targets: logits.sum(1), r"returned a tensor \(16,\)"),
        (lambda logits, targets: logits.sum().detach(), r"test_failed_part.py:\d+\) returned a tensor \(\)"),
        (lambda logits, targets: logits.argmax(), "int64"),
        (lambda logits, targets: logits.sum().to("meta"), "on meta"),
    ],
)
def test_require_loss_refuses_a_loss_that_cannot_be_minimised(loss: Callable[..., Any], says: str) -> None:
    with pytest.raises(UserCodeError, match=says):
        fit(loss=loss)


@pytest.mark.parametrize("output", [None, (1, 2), {"logits": 1}])
def test_require_tensor_refuses_other_outputs(output: object) -> None:
    class Other(nn.Module):
        def forward(self, _: Tensor) -> object:
            return output

    with pytest.raises(UserCodeError, match=r"model Other.forward \(.*test_failed_part.py:\d+\) returned"):
        train(Other())
    with pytest.raises(UserCodeError, match="in validation"):
        Trainer(device="cpu", precision="fp32").predict(Other(), examples())


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (lambda logits, targets: None, "returned None"),
        (lambda logits, targets: 0.5, "returned a float"),
        (lambda logits, targets: logits.mean(), r"returned a tensor \(\)"),
        (lambda logits, targets: logits, r"returned a tensor \(16, 2\)"),
    ],
)
def test_require_scores_refuses_other_than_one_number_per_example(metric: Callable[..., Any], says: str) -> None:
    with pytest.raises(UserCodeError, match=rf"metric mine .*{says}"):
        fit(metrics={"mine": metric})
