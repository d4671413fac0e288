"""The learning rate in a row of the history. Reproduces reports about Lightning, transformers and torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from harness.engine.callbacks import LearningRateSchedule
from harness.engine.rates import is_rate, named_rates
from harness.engine.trainer import Callback, State, Trainer
from tests.toy import examples, fit


class Steps(Callback):
    """Records the rate that the optimizer uses at each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_backward_end(self, state: State) -> None:
        self.rates.append(float(state.optimizer.param_groups[0]["lr"]))


def one_cycle(optimizer: torch.optim.Optimizer, total: int) -> OneCycleLR:
    return OneCycleLR(optimizer, 0.1, total_steps=total)


def test_history_has_the_rate_of_the_last_step_of_the_epoch() -> None:
    """https://github.com/huggingface/transformers/issues/35942, https://github.com/keras-team/keras-contrib/pull/296"""
    steps = Steps()
    state = fit(LearningRateSchedule(one_cycle, "batch"), steps, epochs=3)
    assert len(steps.rates) == 9
    assert [row["lr"] for row in state.history] == steps.rates[2::3]
    assert state.history[-1]["lr"] == pytest.approx(4e-7)  # the end of the cycle: 0.1 / 25 / 1e4


def test_history_has_the_rate_before_the_schedule_changes_it() -> None:
    halve = LearningRateSchedule(lambda optimizer, _: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5))
    assert [row["lr"] for row in fit(halve, epochs=3).history] == [0.1, 0.05, 0.025]


def test_rates_of_copies_a_tensor_that_a_schedule_changes() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.5))
    halve = LearningRateSchedule(lambda optimizer, _: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), "batch")
    trainer = Trainer(callbacks=[halve], device="cpu", precision="fp32")
    state = trainer.fit(model, optimizer, examples(4, 2), None, 2)
    assert [row["lr"] for row in state.history] == [0.25, 0.0625]


def test_named_rates_names_other_groups_by_their_index() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    groups = [{"params": [p], "lr": lr} for p, lr in zip(model.parameters(), (0.1, 0.1, 0.2, 0.1), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    state = Trainer(device="cpu", precision="fp32").fit(model, optimizer, examples(4, 2), None, 1)
    assert {name: value for name, value in state.history[0].items() if is_rate(name)} == {"lr": 0.1, "lr_2": 0.2}
    assert named_rates([0.1, 0.1]) == {"lr": 0.1}
    assert [is_rate(name) for name in ("lr", "lr_12", "lr_", "lrs", "valid_lr", "lr_x")] == [True, True] + [False] * 4
