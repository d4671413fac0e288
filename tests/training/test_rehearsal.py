from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.config.experiment import Experiment
from harness.data.prepare import preparation_of
from harness.data.transforms import Transform
from harness.errors import ModelError, UserCodeError
from harness.training.model import new_model
from harness.training.rehearsal import rehearse

LABELS = [0] * 20 + [1] * 20


def rehearsed(**fields: Any) -> list[str]:
    values: dict[str, Any] = {"model": "small_cnn", "weights": None, "image_size": 32, "precision": "fp32"}
    experiment = Experiment(**(values | fields))
    model = new_model(experiment, None, ["a", "b"], 1)
    arithmetic = {"device": "cpu", "precision": experiment.precision}
    return rehearse(experiment, model, Transform(preparation_of(experiment)), LABELS, 2, arithmetic)


class Net(nn.Module):
    """A model with all that a step changes: weights, statistics, chance."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, classes)
        self.sizes: list[tuple[bool, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append((self.training, len(images)))
        logits: Tensor = self.head(self.layers(images).mean((2, 3)))
        return logits


def test_nothing_is_changed_by_a_rehearsal() -> None:
    shared = Net(2)  # which each fold is given again
    rehearsed(model=lambda classes: shared)
    weights = {name: value.clone() for name, value in shared.state_dict().items()}
    chance = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # type: ignore[index]
    rehearsed(model=lambda classes: shared)
    torch.manual_seed(0)  # `new_model` seeds, and the rehearsal draws nothing
    assert all(torch.equal(value, weights[name]) for name, value in shared.state_dict().items())
    assert all(parameter.grad is None for parameter in shared.parameters())
    assert shared.training
    assert np.array_equal(np.random.get_state()[1], chance[1])  # type: ignore[index]
    assert random.getstate() == chance[2]


def test_a_rehearsal_trains_and_validates_on_a_batch_and_gives_the_loss_a_whole_one() -> None:
    shared, seen = Net(2), []

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        seen.append((logits.requires_grad, len(logits), sorted(set(targets.tolist()))))
        return nn.functional.cross_entropy(logits, targets)

    rehearsed(model=lambda classes: shared, loss=loss, batch_size=16)
    assert shared.sizes[-2:] == [(True, 8), (False, 8)]
    assert seen == [(True, 16, [0, 1]), (False, 16, [0, 1])]


def test_a_rehearsal_is_of_no_more_images_than_there_are(scenery: Path) -> None:
    shared = Net(2)
    rehearsed(model=lambda classes: shared, batch_size=3)
    assert shared.sizes[-1] == (False, 3)


def test_a_batch_that_a_model_cannot_train_on_is_refused() -> None:
    with pytest.raises(ModelError, match="resnet18 cannot take batches of 1 images of 32 px") as caught:
        rehearsed(model="resnet18", batch_size=1)
    assert "more than 1 value per channel" in caught.value.why


def test_a_loss_and_a_callback_are_copied_before_they_are_used() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return nn.functional.cross_entropy(logits, targets)

    loss = Counting()
    rehearsed(loss=loss)
    assert loss.calls == 0


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_are_a_function_of_the_seed() -> None:
    def net(classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(classes))

    def weights(seed: int) -> list[Any]:
        experiment = Experiment(model=net, weights=None, image_size=16, seed=seed)
        return [p.tolist() for p in new_model(experiment, None, ["a", "b"], 1).parameters()]

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_weights_that_are_no_float32_are_named_when_the_model_fails() -> None:
    with pytest.raises(UserCodeError) as caught:
        rehearsed(model=lambda classes: Net(classes).double())
    assert "its parameters are float64, and images are float32" in caught.value.why
    assert "return model.float()" in caught.value.fix
