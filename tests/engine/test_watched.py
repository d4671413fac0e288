"""A callback may read validation metrics or change the training, but not both."""

from __future__ import annotations

import json
from collections.abc import Callable as Function

import pytest
import torch

from harness.engine.callbacks import EarlyStopping
from harness.engine.trainer import Callback, State
from harness.engine.watched import watched
from harness.errors import UsageError
from tests.toy import examples, fit


class Own(Callback):
    """Calls one function at the end of each epoch, and another after each batch."""

    def __init__(self, at_end: Function[[State], object], in_batch: Function[[State], object] | None = None) -> None:
        self.at_end, self.in_batch = at_end, in_batch

    def on_batch_end(self, state: State) -> None:
        if self.in_batch is not None and state.phase == "train":
            self.in_batch(state)

    def on_epoch_end(self, state: State) -> None:
        self.at_end(state)


def stop(state: State) -> None:
    state.stop("enough")


def slower(state: State) -> None:
    state.optimizer.param_groups[0]["lr"] /= 2


def shrink(state: State) -> None:
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.mul_(0.9)


def freeze(state: State) -> None:
    next(state.model.parameters()).requires_grad_(False)


READS = [
    lambda state: state.history[-1]["valid_accuracy"],
    lambda state: state.history[-1].get("valid_loss"),
    lambda state: dict(state.history[-1]),
    lambda state: {**state.history[-1]},
    lambda state: json.dumps(state.history[-1]),
    lambda state: [value for row in state.history for value in row.values()],
]


@pytest.mark.parametrize("change", [stop, slower, shrink, freeze])
@pytest.mark.parametrize("read", READS, ids=range(len(READS)))
def test_watched_refuses_a_callback_that_steers_by_validation(
    change: Function[[State], None], read: Function[[State], object]
) -> None:
    steers = Own(lambda state: (read(state), change(state)))
    with pytest.raises(UsageError, match="callback Own changes the training by valid_"):
        fit(watched(steers), epochs=3)


def test_watched_refuses_a_callback_that_reads_now_and_changes_later() -> None:
    late = Own(lambda state: state.history[-1]["valid_loss"], slower)
    with pytest.raises(UsageError, match="changes the training by valid_loss") as caught:
        fit(watched(late), epochs=3)
    assert "read inner_loss instead and use -s inner_fraction=0.2" in caught.value.fix


@pytest.mark.parametrize(
    "harmless",
    [
        Own(lambda state: state.history[-1]["valid_loss"]),  # only logs
        Own(lambda state: print(dict(state.history[-1]))),
        Own(lambda state: (state.history[-1]["train_loss"], slower(state))),
        Own(stop),
        Own(lambda state: (state.history[-1]["valid_seconds"], stop(state))),  # a time limit
        Own(lambda state: state.history[-1].update(valid_kappa=0.5), slower),  # adds a metric
    ],
)
def test_watched_accepts_a_callback_that_only_reads_or_only_changes(harmless: Callback) -> None:
    state = fit(watched(harmless), epochs=2)
    assert state.error is None


def test_watched_accepts_steering_by_the_inner_part() -> None:
    steers = Own(lambda state: (state.history[-1]["inner_loss"], stop(state)))
    trained = fit(watched(steers), inner=examples(8))
    assert trained.epoch == 1
    assert fit(watched(EarlyStopping("valid_loss", 1)), inner=examples(8)).error is None


def test_watched_resets_for_each_fit() -> None:
    reads = [True]
    callback = watched(Own(lambda state: state.history[-1]["valid_loss"] if reads else slower(state)))
    fit(callback)
    reads.clear()
    assert fit(callback).error is None


def test_row_explains_a_missing_metric() -> None:
    with pytest.raises(KeyError, match="valid_loss: this fit has no validation images"):
        fit(Own(lambda state: state.history[-1]["valid_loss"]), valid=False)
