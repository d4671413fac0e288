from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from harness.config.experiment import Experiment
from harness.engine.callbacks import GradientClipping
from harness.errors import ExperimentError

FIELDS = (
    "name data valid_data test_data class_folder columns groups image_size resize center_crop "
    "interpolation antialias channels background value_range normalise "
    "augment model weights weights_key freeze views cache optimizer lr weight_decay scheduler "
    "batch_size epochs folds repeats epoch monitor monitor_mode patience inner_fraction metrics precision compile seed "
    "split_seed workers min_accuracy loss callbacks trackers"
)


def test_experiment_fields_all_have_a_meaning() -> None:
    fields = dataclasses.fields(Experiment)
    assert [field.name for field in fields] == FIELDS.split()
    assert all(len(field.metadata["about"]) > 5 for field in fields)


def test_experiment_takes_its_own_defaults() -> None:
    experiment = Experiment()
    assert experiment.min_accuracy == 0.7
    assert Experiment(**{name: getattr(experiment, name) for name in FIELDS.split()}) == experiment


def test_experiment_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Experiment().lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0),
        ("lr", "fast"),
        ("lr", float("nan")),
        ("lr", True),
        ("weight_decay", -0.1),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("epochs", 0),
        ("folds", 1),
        ("folds", -2),
        ("image_size", 4),
        ("augment", "flipp"),
        ("model", ""),
        ("model", None),
        ("weights", 7),
        ("freeze", 1),
        ("freeze", ""),
        ("optimizer", "sdg"),
        ("scheduler", "step"),
        ("patience", 0),
        ("precision", "fp8"),
        ("seed", -1),
        ("workers", "many"),
        ("min_accuracy", 70),
        ("loss", "mse"),
        ("callbacks", [GradientClipping]),
        ("callbacks", "x"),
        ("trackers", ["wandb"]),
        ("name", "My Run"),
        ("name", "../up"),
        ("name", ".."),
    ],
)
def test_experiment_refuses_a_value_and_says_what_the_field_takes(field: str, value: Any) -> None:
    with pytest.raises(ExperimentError, match=f"{field} = .* is not possible") as caught:
        Experiment(**{field: value})
    assert f"{field} takes " in caught.value.why
    assert f"-s {field}=" in caught.value.fix


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ({"lr": "1e-4"}, 1e-4),
        ({"lr": "1"}, 1.0),
        ({"batch_size": "64"}, 64),
        ({"freeze": "true"}, True),
        ({"freeze": "False"}, False),
        ({"freeze": "layer3"}, "layer3"),
        ({"weights": "none"}, None),
        ({"weights": "a/b.pth"}, "a/b.pth"),
        ({"patience": "3"}, 3),
        ({"augment": "standard"}, "standard"),
        ({"workers": "auto"}, "auto"),
        ({"workers": "2"}, 2),
        ({"data": "2024"}, "2024"),
        ({"trackers": "mlflow,tensorboard"}, ("mlflow", "tensorboard")),
        ({"trackers": ""}, ()),
        ({"trackers": "none"}, ()),
    ],
)
def test_override_converts_text_to_values(typed: dict[str, str], value: object) -> None:
    (name,) = typed
    parsed = getattr(Experiment().override(typed), name)
    assert parsed == value
    assert type(parsed) is type(value)


def test_experiment_names_the_nearest_field_and_all_fields_if_one_is_unknown() -> None:
    for attempt in (lambda: Experiment(batchsize=3), lambda: Experiment().override({"batchsize": "3"})):  # type: ignore[call-arg]
        with pytest.raises(ExperimentError, match="'batchsize'; did you mean 'batch_size'") as caught:
            attempt()
        assert "name, data, valid_data, test_data" in caught.value.why
    with pytest.raises(ExperimentError, match="without a field name"):
        Experiment("resnet18")  # type: ignore[misc]


def test_origin_says_where_each_value_came_from() -> None:
    experiment = Experiment(lr=0.1, epochs=5).override({"lr": "0.2"}).replace(seed=3)
    origins = {name: experiment.origin(name) for name in ("lr", "epochs", "seed", "folds")}
    assert origins == {"lr": "command line", "epochs": "experiment file", "seed": "experiment file", "folds": "default"}


def test_to_dict_names_functions_and_callbacks() -> None:
    experiment = Experiment(model=test_experiment_is_immutable, callbacks=[GradientClipping(2.0)])
    values = json.loads(json.dumps(experiment.to_dict()))
    assert values["model"].endswith("test_experiment:test_experiment_is_immutable")
    assert values["callbacks"] == ["harness.callbacks.gradient_clipping:GradientClipping(max_norm=2.0)"]


def test_experiment_converts_numpy_scalars() -> None:
    experiment = Experiment(lr=np.logspace(-3, -2, 2)[1], epochs=np.int32(3))
    assert (experiment.lr, type(experiment.lr)) == (0.01, float)
    assert (experiment.epochs, type(experiment.epochs)) == (3, int)


@pytest.mark.parametrize("value", [(123.675, 58.395), (0.5, 0.0), (0.5,), ((0.5, 0.5), (0.2, 0.2)), "mean"])
def test_normalise_refuses_what_is_not_a_mean_and_a_deviation_from_0_to_1(value: Any) -> None:
    with pytest.raises(ExperimentError, match="normalise = "):
        Experiment(normalise=value)
