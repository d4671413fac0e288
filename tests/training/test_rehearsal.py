from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.config.experiment import Experiment
from harness.data.loading import EpochSampler
from harness.data.prepare import preparation_of
from harness.data.transforms import Transform
from harness.errors import ModelError, UserCodeError
from harness.models.prefix import cut
from harness.training.model import new_model
from harness.training.optimizers import make_optimizer
from harness.training.rehearsal import batch_sizes, rehearse

LABELS = [0] * 20 + [1] * 20


def rehearsed(**fields: Any) -> list[str]:
    values: dict[str, Any] = {"model": "small_cnn", "weights": None, "image_size": 32, "precision": "fp32"}
    experiment = Experiment(**(values | fields))
    model = new_model(experiment, None, ["a", "b"], 1)
    arithmetic = {"device": "cpu", "precision": experiment.precision}
    sizes = batch_sizes([len(LABELS)], experiment.batch_size)
    return rehearse(experiment, model, Transform(preparation_of(experiment)), LABELS, 2, arithmetic, sizes)


class Net(nn.Module):
    """A model with everything that a step changes: weights, running statistics, random numbers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, classes)
        self.sizes: list[tuple[bool, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append((self.training, len(images)))
        logits: Tensor = self.head(self.layers(images).mean((2, 3)))
        return logits


def test_rehearse_does_not_change_the_model() -> None:
    shared = Net(2)  # each fold gets the same object
    weights = {name: value.clone() for name, value in shared.state_dict().items()}
    rehearsed(model=lambda classes: shared)
    assert all(torch.equal(value, weights[name]) for name, value in shared.state_dict().items())
    assert all(parameter.grad is None for parameter in shared.parameters())
    assert shared.training
    assert shared.sizes == []  # the rehearsal used a copy


def test_rehearse_does_not_change_random_states() -> None:
    experiment = Experiment(model=Net, weights=None, image_size=32, precision="fp32")
    model = new_model(experiment, None, ["a", "b"], 1)
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    transform = Transform(preparation_of(experiment))
    rehearse(experiment, model, transform, LABELS, 2, {"device": "cpu"}, batch_sizes([40], 32))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]


class Recorder:
    """Records what the copies of a model get. It is not copied with the model."""

    def __init__(self) -> None:
        self.sizes: list[tuple[bool, int]] = []

    def __deepcopy__(self, memo: object) -> Recorder:
        return self


def watched() -> tuple[Net, Recorder]:
    model, recorder = Net(2), Recorder()
    model.register_forward_pre_hook(lambda module, args: recorder.sizes.append((module.training, len(args[0]))))
    model.recorder = recorder  # type: ignore[assignment]
    return model, recorder


def test_rehearse_uses_all_batch_sizes_of_the_run() -> None:
    (model, recorder), seen = watched(), []

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        seen.append((logits.requires_grad, len(logits), sorted(set(targets.tolist()))))
        return nn.functional.cross_entropy(logits, targets)

    rehearsed(model=lambda classes: model, loss=loss, batch_size=19)  # of 40
    assert recorder.sizes[-4:] == [(True, 8), (True, 2), (False, 8), (False, 1)]
    assert seen == [(True, 19, [0, 1]), (True, 2, [0, 1]), (False, 19, [0, 1]), (False, 1, [0])]


def test_batch_sizes_match_the_sampler() -> None:
    for length in range(2, 40):
        for batch_size in range(1, 12):
            sampler = EpochSampler(range(length), batch_size, 0, shuffle=True)
            lengths = [len(batch) for batch in sampler]
            sizes = batch_sizes([length], batch_size)
            assert sizes.whole == min(lengths[0], batch_size)
            assert sizes.last == min(sizes.whole, lengths[-1])


def test_rehearse_refuses_a_model_that_drops_the_batch_dimension() -> None:
    class Squeezed(Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).squeeze()

    with pytest.raises(UserCodeError, match=r"returned a tensor \(2,\)"):
        rehearsed(model=Squeezed)


def test_rehearse_refuses_a_constant_loss() -> None:
    with pytest.raises(UserCodeError, match="gives the weights no gradient") as caught:
        rehearsed(loss=lambda logits, targets: (logits * 0).sum() + 2)
    assert caught.value.why == "it is 2 for all logits"


def test_rehearse_accepts_a_head_of_zeros() -> None:
    def zeros(classes: int) -> nn.Module:
        net = Net(classes)
        nn.init.zeros_(net.head.weight)
        nn.init.zeros_(net.head.bias)
        return net

    assert rehearsed(model=zeros) == []


def test_rehearse_trains_the_parameters_of_a_loss() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self.scale * logits, targets)

    loss, model = Scaled(), Net(2)
    optimizer = make_optimizer(Experiment(model=Net), model, loss)
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert given == {id(p) for p in (*model.parameters(), loss.scale)}
    assert rehearsed(loss=loss) == []
    assert loss.scale.grad is None


def test_rehearse_tests_only_the_head_if_the_frozen_part_runs_once() -> None:
    """The head accepts batches that the whole model refuses: its BatchNorm of one value is in the frozen part."""
    experiment = Experiment(model="resnet18", weights=None, image_size=32, batch_size=1, freeze=True, precision="fp32")
    model = new_model(experiment, None, ["a", "b"], 1)
    made = cut(model, (3, 32, 32))
    transform = Transform(preparation_of(experiment))
    assert rehearse(experiment, model, transform, LABELS, 2, {"device": "cpu"}, batch_sizes([40], 1), made) == []


def test_rehearse_refuses_a_batch_that_the_model_cannot_train_on() -> None:
    with pytest.raises(ModelError, match="resnet18 cannot take batches of 1 images of 32 px") as caught:
        rehearsed(model="resnet18", batch_size=1)
    assert "more than 1 value per channel" in caught.value.why


def test_rehearse_copies_the_loss_and_callbacks() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return nn.functional.cross_entropy(logits, targets)

    loss = Counting()
    rehearsed(loss=loss)
    assert loss.calls == 0


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_depend_only_on_the_seed() -> None:
    def net(classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(classes))

    def weights(seed: int) -> list[Any]:
        experiment = Experiment(model=net, weights=None, image_size=16, seed=seed)
        return [p.tolist() for p in new_model(experiment, None, ["a", "b"], 1).parameters()]

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_rehearse_names_weights_that_are_not_float32() -> None:
    with pytest.raises(UserCodeError) as caught:
        rehearsed(model=lambda classes: Net(classes).double())
    assert "its parameters are float64, but images are float32" in caught.value.why
    assert "return model.float()" in caught.value.fix
