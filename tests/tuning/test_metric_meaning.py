"""A search is refused if a metric does not mean the same for all trials."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import optuna
import pytest
import torch.nn.functional as F
from torch import Tensor

from harness import Callback, State
from harness.config.experiment import Experiment
from harness.errors import ExperimentError
from harness.tuning.space import Space


def tenth(logits: Tensor, targets: Tensor) -> Tensor:
    return 0.1 * F.cross_entropy(logits, targets)


class Recall(Callback):
    """Adds a metric that depends on the argument."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.metric_names = ("valid_recall",)

    def on_epoch_end(self, state: State) -> None:
        state.history[-1]["valid_recall"] = self.weight


def space(metric: str, changes: Callable[[float], dict[str, Any]], **written: Any) -> Space:
    """A space that draws a number from 0 to 1; `change` turns it into the trial's changes."""
    return Space(Experiment(**written), lambda trial: changes(trial.suggest_float("x", 0, 1)), metric)


def test_draw_refuses_valid_loss_if_the_loss_changes() -> None:
    """keras-tuner#358: with the loss as a hyperparameter, each trial was ranked by its own loss function."""
    changes = {True: {"loss": tenth}, False: {}}
    with pytest.raises(ExperimentError) as caught:
        space("valid_loss", lambda x: changes[x > 0.5]).draw()
    assert "search_space" in caught.value.what
    assert "trials cannot be compared by valid_loss: a trial changes loss" in caught.value.what
    assert "ranked by tenth, but the experiment as written by cross_entropy" in caught.value.why
    assert caught.value.fix.startswith("--metric valid_log_loss")
    for metric in ("valid_log_loss", "valid_accuracy"):
        assert space(metric, lambda x: changes[x > 0.5]).draw()[0]
    assert space("valid_loss", lambda x: {"lr": x + 0.1}).draw()[0]
    assert space("valid_loss", lambda _: {"loss": tenth}, loss=tenth).draw()[0]


def test_changes_refuses_valid_loss_if_only_a_trial_changes_the_loss() -> None:
    rare = space("valid_loss", lambda x: {"loss": tenth} if x == 0.25 else {})
    rare.draw()
    assert rare.changes(optuna.trial.FixedTrial({"x": 0.5})) == {}
    with pytest.raises(ExperimentError, match="a trial changes loss"):
        rare.changes(optuna.trial.FixedTrial({"x": 0.25}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (functools.partial(F.cross_entropy, label_smoothing=0.1), {"label_smoothing": 0.1}, True),
        (functools.partial(F.cross_entropy, label_smoothing=0.1), {"label_smoothing": 0.2}, False),
    ],
)
def test_a_loss_with_the_same_arguments_is_the_same(one: Any, other: dict[str, Any], same: bool) -> None:
    made = space("valid_loss", lambda _: {"loss": functools.partial(F.cross_entropy, **other)}, loss=one)
    if same:
        assert made.draw()[0]
    else:
        with pytest.raises(ExperimentError, match=r"label_smoothing=0\.2"):
            made.draw()


def test_a_lambda_is_the_same_only_as_the_same_object() -> None:
    losses = [lambda logits, targets: F.cross_entropy(logits, targets), lambda logits, targets: 0 * logits.sum()]
    assert space("valid_loss", lambda _: {"loss": losses[0]}, loss=losses[0]).draw()[0]
    with pytest.raises(ExperimentError, match="a trial changes loss"):
        space("valid_loss", lambda _: {"loss": losses[1]}, loss=losses[0]).draw()


@pytest.mark.parametrize("callbacks", [[Recall(2.0)], [], [Recall(), Recall()]])
def test_changes_refuses_a_callback_metric_if_the_callback_changes(callbacks: list[Callback]) -> None:
    with pytest.raises(ExperimentError) as caught:
        space("valid_recall", lambda _: {"callbacks": callbacks}, callbacks=[Recall()]).draw()
    assert "compared by valid_recall: a trial changes the callback that computes it" in caught.value.what
    assert caught.value.why.startswith("the experiment as written has Recall")
    assert space("valid_accuracy", lambda _: {"callbacks": callbacks}, callbacks=[Recall()]).draw()[0]


def test_changes_accepts_a_callback_metric_if_the_callback_stays() -> None:
    kept = Recall(3.0)
    assert space("valid_recall", lambda _: {"callbacks": [kept, Callback()]}, callbacks=[kept]).draw()[0]
    assert space("valid_recall", lambda _: {"callbacks": [Recall(3.0)]}, callbacks=[kept]).draw()[0]
