from __future__ import annotations

from typing import Any

import pytest
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from harness.config.experiment import Experiment
from harness.engine.callbacks import EarlyStopping, GradientClipping, LearningRateSchedule
from harness.engine.trainer import Callback
from harness.training.steering import inner_fraction, steered_by


class Steers(Callback):
    steers = True


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"patience": 3}, ["patience=3"]),
        ({"patience": 3, "folds": 0}, ["patience=3"]),
        ({"patience": 3, "monitor": "train_loss"}, []),
        ({"scheduler": "plateau"}, ["scheduler=plateau"]),
        ({"scheduler": "onecycle"}, []),
        ({"scheduler": lambda optimizer, epochs: ReduceLROnPlateau(optimizer)}, ["scheduler=plateau"]),
        ({"scheduler": CosineAnnealingLR}, []),
        ({"epoch": "best", "patience": 2}, ["patience=2", "epoch=best"]),
        ({"callbacks": [GradientClipping(1.0), Steers()]}, ["Steers"]),
        ({"callbacks": [EarlyStopping("valid_loss")]}, ["EarlyStopping"]),
        ({"callbacks": [EarlyStopping("train_loss")]}, []),
        ({"callbacks": [LearningRateSchedule(lambda o, _: ReduceLROnPlateau(o))]}, ["LearningRateSchedule"]),
        ({"callbacks": [LearningRateSchedule(CosineAnnealingLR)]}, []),
    ],
)
def test_steered_by_names_fields_that_use_the_validation(fields: dict[str, Any], expected: list[str]) -> None:
    experiment = Experiment(**fields)
    assert steered_by(experiment) == expected
    assert inner_fraction(experiment) == (0.2 if expected else None)


def test_inner_fraction_of_the_experiment_is_used() -> None:
    assert inner_fraction(Experiment(inner_fraction=0.3)) == 0.3
