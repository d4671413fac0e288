from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.engine.metrics import accuracy
from harness.engine.trainer import Callback, State, Trainer
from harness.errors import UsageError, UserCodeError
from tests.toy import examples, fit


def test_metrics_are_means_over_examples_not_over_batches() -> None:
    batches = examples(40, 16)  # 16, 16, 8
    state = fit(epochs=1, train=batches, valid=batches)
    with torch.no_grad():
        points, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
        logits = state.model(points)
        expected = nn.functional.cross_entropy(logits, targets).item()
    row = state.history[0]
    assert row["valid_loss"] == pytest.approx(expected, rel=1e-6)
    assert row["valid_accuracy"] == accuracy(logits, targets).sum().item() / 40
    assert row["valid_examples"] == 40


def test_metrics_exist_before_the_first_on_epoch_end() -> None:
    seen: list[bool] = []

    class Reader(Callback):
        def on_epoch_end(self, state: State) -> None:
            seen.append(set(state.metric_names) <= set(state.history[-1]))

    fit(Reader())
    assert seen == [True, True]


def test_accuracy_accepts_targets_that_are_probabilities() -> None:
    class Mix(Callback):
        def on_batch_start(self, state: State) -> None:
            inputs, targets = state.batch
            state.batch = inputs, nn.functional.one_hot(targets, 2).float() * 0.8 + 0.1

    state = fit(Mix(), epochs=20, train=examples(40, 2))  # as many examples as classes in each batch
    assert state.history[-1]["valid_accuracy"] > 0.9


def test_means_refuse_a_metric_without_one_number_per_example() -> None:
    with pytest.raises(UserCodeError, match=r"metric wrong \(.*test_metrics.py:\d+\) returned a tensor \(16, 2\)"):
        fit(metrics={"wrong": lambda logits, targets: logits})
    with pytest.raises(UserCodeError, match=r"returned a float"):
        fit(metrics={"wrong": lambda logits, targets: 0.5})


def test_means_refuse_an_iterator_that_is_used_up() -> None:
    with pytest.raises(UsageError, match="no batch to train on"):
        fit(train=iter(examples()), epochs=2)
    with pytest.raises(UsageError, match="no batch to valid on"):
        Trainer(device="cpu").fit(nn.Linear(4, 2), torch.optim.SGD([torch.zeros(1)], 0.1), examples(), [], 1)


def test_require_metric_lists_the_metrics_of_the_fit() -> None:
    class Wants(Callback):
        def on_fit_start(self, state: State) -> None:
            state.require_metric("val_loss")

    with pytest.raises(UsageError) as caught:
        fit(Wants())
    assert "'valid_loss'" in caught.value.what
    assert "train_loss, train_accuracy, valid_loss, valid_accuracy" in caught.value.why
