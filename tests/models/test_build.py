from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from harness.errors import ModelError, UserCodeError
from harness.models.build import architectures, build, head_names, supports_channels_last

CPU = torch.device("cpu")
HEADS = {
    "resnet18": "fc",
    "resnet50": "fc",
    "resnet101": "fc",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "vit_b_16": "heads.head",
    "densenet121": "classifier",
    "squeezenet1_1": "classifier.1",
    "googlenet": "fc",
    "small_cnn": "head",
}


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_replaced_whatever_it_is_called(name: str) -> None:
    model = build(name, classes=3, shape=(3, 64, 64))
    assert head_names(model) == (HEADS[name],)
    assert supports_channels_last(model, (3, 64, 64), CPU)
    with torch.inference_mode():
        assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_every_name_is_one_of_torchvision_or_ours() -> None:
    assert {*HEADS} <= {*architectures()}
    with pytest.raises(ModelError, match=r"'resnet19'; did you mean 'resnet18'"):
        build("resnet19", 2, (3, 64, 64))


def test_a_size_that_a_model_cannot_take() -> None:
    with pytest.raises(ModelError, match="inception_v3 cannot take images of 32 px"):
        build("inception_v3", 2, (3, 32, 32))
    with pytest.raises(ModelError, match="vit_b_16 cannot take images of 60 px"):
        build("vit_b_16", 2, (3, 60, 60))


class Flat(nn.Module):
    """A model as tutorials write it, whose `view` does not bear channels-last order."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 32 * 32, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(images).view(-1, 4 * 32 * 32))
        return logits


def test_a_users_function() -> None:
    model = build(Flat, 4, (3, 32, 32))
    assert head_names(model) == ("fc",)
    assert model.training
    assert not supports_channels_last(model, (3, 32, 32), CPU)
    assert not supports_channels_last(nn.Linear(2, 2), (3, 32, 32), CPU)
    assert not supports_channels_last(build("small_cnn", 2, (3, 64, 64)), (3, 64, 64), torch.device("mps"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda classes: "no", "returned a str"),
        (lambda classes: Flat(classes + 1), r"model Flat.forward \(.*test_build.py:\d+\) returned a tensor \(2, 3\)"),
        (lambda classes: nn.Conv2d(1, 1, 1), r"model Conv2d.forward .*failed"),
    ],
)
def test_a_users_function_that_makes_no_classifier(function: object, message: str) -> None:
    with pytest.raises(UserCodeError, match=message):
        build(function, 2, (3, 32, 32))  # type: ignore[arg-type]


def test_a_model_that_cannot_take_such_images_is_refused_with_advice_that_can_work() -> None:
    with pytest.raises(ModelError, match="vit_b_16 cannot take images of 64 x 96 px") as caught:
        build("vit_b_16", 2, (3, 64, 96))
    assert caught.value.fix == "-s image_size=224"
    with pytest.raises(ModelError, match="inception_v3 cannot take grey images of 224 px") as caught:
        build("inception_v3", 2, (1, 224, 224))
    assert caught.value.fix == "-s channels=3"
    assert build("resnet18", 2, (3, 64, 96)).training


def test_a_function_that_returns_the_same_module_each_time_gets_a_copy_each_time() -> None:
    """Else the second fold would begin with what the first has learned, its validation images among it."""
    shared = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    first = build(lambda classes: shared, 2, (3, 16, 16))
    with torch.no_grad():
        first[1].weight.zero_()  # type: ignore[index]
    second = build(lambda classes: shared, 2, (3, 16, 16))
    assert bool(second[1].weight.any())  # type: ignore[index]


def test_a_module_whose_train_returns_nothing_works() -> None:
    class Careless(nn.Sequential):
        def train(self, mode: bool = True) -> Careless:
            super().train(mode)
            return None  # type: ignore[return-value]

    model = build(lambda classes: Careless(nn.Flatten(), nn.Linear(3 * 16 * 16, classes)), 2, (3, 16, 16))
    assert model.training


def test_a_torchscript_module_keeps_weights_that_can_be_trained() -> None:
    def scripted(classes: int) -> nn.Module:
        net: nn.Module = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(48, classes)), torch.zeros(2, 3, 4, 4))
        return net

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(parameter.is_leaf for parameter in build(scripted, 2, (3, 4, 4), check=False).parameters())
