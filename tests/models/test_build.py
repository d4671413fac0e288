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
def test_build_replaces_heads_of_any_name(name: str) -> None:
    model = build(name, classes=3, shape=(3, 64, 64))
    assert head_names(model) == (HEADS[name],)
    assert supports_channels_last(model, (3, 64, 64), CPU)
    with torch.inference_mode():
        assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_build_knows_torchvisions_names_and_small_cnn() -> None:
    assert {*HEADS} <= {*architectures()}
    with pytest.raises(ModelError, match=r"'resnet19'; did you mean 'resnet18'"):
        build("resnet19", 2, (3, 64, 64))


def test_build_refuses_an_image_size_that_the_model_cannot_take() -> None:
    with pytest.raises(ModelError, match="inception_v3 cannot take images of 32 px"):
        build("inception_v3", 2, (3, 32, 32))
    with pytest.raises(ModelError, match="vit_b_16 cannot take images of 60 px"):
        build("vit_b_16", 2, (3, 60, 60))


class Flat(nn.Module):
    """A model as in tutorials, whose `view` fails with the channels-last format."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 32 * 32, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(images).view(-1, 4 * 32 * 32))
        return logits


def test_build_calls_a_users_function() -> None:
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
def test_build_refuses_a_function_that_makes_no_classifier(function: object, message: str) -> None:
    with pytest.raises(UserCodeError, match=message):
        build(function, 2, (3, 32, 32))  # type: ignore[arg-type]


def test_build_suggests_a_setting_that_works() -> None:
    with pytest.raises(ModelError, match="vit_b_16 cannot take images of 64 x 96 px") as caught:
        build("vit_b_16", 2, (3, 64, 96))
    assert caught.value.fix == "-s image_size=224"
    with pytest.raises(ModelError, match="inception_v3 cannot take grey images of 224 px") as caught:
        build("inception_v3", 2, (1, 224, 224))
    assert caught.value.fix == "-s channels=3"
    assert build("resnet18", 2, (3, 64, 96)).training


def test_build_copies_a_module_that_a_function_returns_again() -> None:
    """Otherwise the second fold would start with the first fold's weights, trained on its validation set."""
    shared = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    first = build(lambda classes: shared, 2, (3, 16, 16))
    with torch.no_grad():
        first[1].weight.zero_()  # type: ignore[index]
    second = build(lambda classes: shared, 2, (3, 16, 16))
    assert bool(second[1].weight.any())  # type: ignore[index]


def test_build_accepts_a_module_whose_train_returns_nothing() -> None:
    class Careless(nn.Sequential):
        def train(self, mode: bool = True) -> Careless:
            super().train(mode)
            return None  # type: ignore[return-value]

    model = build(lambda classes: Careless(nn.Flatten(), nn.Linear(3 * 16 * 16, classes)), 2, (3, 16, 16))
    assert model.training


def test_build_keeps_trainable_weights_of_a_torchscript_module() -> None:
    def scripted(classes: int) -> nn.Module:
        net: nn.Module = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(48, classes)), torch.zeros(2, 3, 4, 4))
        return net

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(parameter.is_leaf for parameter in build(scripted, 2, (3, 4, 4), check=False).parameters())
