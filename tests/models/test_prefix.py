from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.transforms import seeded
from harness.models.build import build
from harness.models.digest import digest
from harness.models.freezing import freeze
from harness.models.prefix import CannotCutError, cut


@pytest.mark.parametrize(
    ("name", "until", "shape"),
    [
        ("small_cnn", True, (128,)),
        ("small_cnn", "blocks.block2", (32, 16, 16)),
        ("resnet18", True, (512,)),
        ("resnet18", "layer3", (256, 4, 4)),
        ("resnet18", "layer4", (512,)),  # pooling has no parameters either
        ("resnet18", "layer3.0.conv1", (128, 8, 8)),  # the skip connection around that convolution is needed too
        ("densenet121", "features.denseblock2", (512, 8, 8)),
        ("mobilenet_v3_small", True, (1024,)),  # dropout comes after the cut
        ("efficientnet_b0", "features.4", (80, 4, 4)),  # later blocks drop whole branches, but only in training
        ("squeezenet1_1", True, (512, 3, 3)),  # pooling comes after its head
        pytest.param("vit_b_16", "encoder.layers.encoder_layer_5", (17, 768), marks=pytest.mark.slow),
        ("swin_t", True, (768,)),
    ],
)
def test_cut_parts_together_equal_the_model(name: str, until: bool | str, shape: tuple[int, ...]) -> None:
    model = build(name, 2, (3, 64, 64))
    freeze(model, until, (3, 64, 64))
    images = torch.randn(3, 3, 64, 64)
    names, state = [n for n, _ in model.named_parameters()], {k: v.clone() for k, v in model.state_dict().items()}
    split = cut(model, (3, 64, 64))
    assert split.shape == shape
    with torch.no_grad():
        expected, features = model.eval()(images), split.prefix(images)
    split.apply(model)
    with torch.no_grad():
        assert torch.equal(model(features), expected)
    assert [n for n, _ in model.named_parameters()] == names
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    model.train()(features).sum().backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    assert trained == {n for n, p in model.named_parameters() if p.requires_grad}
    assert isinstance(model, type(build(name, 2, (3, 64, 64))))


@pytest.mark.parametrize(
    ("name", "drop"), [("efficientnet_b0", "classifier.0"), ("mobilenet_v3_small", "classifier.2")]
)
def test_cut_is_before_the_dropout_of_the_head(name: str, drop: str) -> None:
    model = build(name, 2, (3, 64, 64))
    freeze(model, True, (3, 64, 64))
    images = torch.randn(4, 3, 64, 64)
    with seeded(3):
        live = model.train()(images)
    split = cut(model, (3, 64, 64))
    assert drop not in {n for n, _ in split.prefix.named_modules()}
    features = split.prefix(images)
    split.apply(model)
    with seeded(3):
        assert torch.allclose(model.train()(features.clone()), live, atol=1e-5)  # dropout drops the same outputs
    assert not torch.equal(model(features.clone()), model(features.clone()))
    assert torch.equal(model.eval()(features.clone()), model(features))


def test_cut_keeps_dropout_of_the_rest_active_only_in_training() -> None:
    model = build("efficientnet_b0", 2, (3, 64, 64))
    freeze(model, "features.4")
    split = cut(model, (3, 64, 64))
    split.apply(model)
    features = torch.randn(4, *split.shape)
    assert not torch.equal(model.train()(features), model(features))
    assert torch.equal(model.eval()(features), model(features))


class Parts(nn.Module):
    """A frozen body, a head, and a step between them."""

    def __init__(self, _: int = 2) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def between(self, features: Tensor) -> Tensor:
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.between(self.body(images)).mean((2, 3)))
        return logits


class Noisy(Parts):
    def between(self, features: Tensor) -> Tensor:
        return F.dropout(features, 0.5, self.training)


class AlwaysNoisy(Parts):
    def between(self, features: Tensor) -> Tensor:
        return features + torch.rand_like(features)


class Branching(Parts):
    def between(self, features: Tensor) -> Tensor:
        return features if features.sum() > 0 else -features


class Skipping(Parts):
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3))) + images.mean((1, 2, 3))[:, None]
        return logits


class Odd(Parts):
    """Mixes the images of a batch into one output."""

    def between(self, features: Tensor) -> Tensor:
        return features - features.mean(0)


def frozen(kind: type[Parts]) -> nn.Module:
    torch.manual_seed(0)
    model = kind()
    freeze(model, True)
    return model


def test_cut_is_before_random_steps() -> None:
    for kind in (Noisy, AlwaysNoisy):
        assert cut(frozen(kind), (3, 16, 16)).shape == (4, 14, 14)  # the cut is before the noise


class DropsBranches(Parts):
    def between(self, features: Tensor) -> Tensor:
        return features if self.training and random.random() < 0.5 else 2 * features


class Shakes(Parts):
    def between(self, features: Tensor) -> Tensor:
        if self.training:
            features.mul_(torch.rand_like(features))
        return features


class Averages(Parts):
    """Keeps a mean of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("steps", torch.zeros(()))

    def between(self, features: Tensor) -> Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * features.mean((0, 2, 3)))
        return features


class Counts(Averages):
    def between(self, features: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        return features


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Branching, "cannot be traced"),
        (Skipping, "nothing frozen comes before"),
        (DropsBranches, "draws random numbers"),
        (Shakes, "in place"),
        (Averages, "changes its own buffers"),
        (Counts, "changes its own buffers"),
    ],
)
def test_cut_says_why_a_model_cannot_be_cut(kind: type[Parts], why: str) -> None:
    model = frozen(kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CannotCutError, match=why):
        cut(model, (3, 16, 16))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(CannotCutError, match="nothing frozen"):
        cut(Parts(), (3, 16, 16))


def test_cut_refuses_a_model_with_a_hook() -> None:
    for where in ("", "body", "head"):
        model = frozen(Parts)
        model.get_submodule(where).register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))
        with pytest.raises(CannotCutError, match="a hook"):
            cut(model, (3, 16, 16))


def test_apply_keeps_a_model_that_accepts_images() -> None:
    model, images = frozen(Parts).eval(), torch.randn(2, 3, 16, 16)
    expected = model(images)
    split = cut(model, (3, 16, 16))
    split.apply(model)
    assert torch.equal(model(images), expected)
    assert torch.equal(model(split.prefix(images)), expected)


class Pooled(Parts):
    pool: nn.Module

    def __init__(self, **settings: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 2, 1, **settings))


def test_digest_depends_on_settings_that_extra_repr_omits() -> None:
    digests = set()
    for settings in ({}, {"count_include_pad": False}):
        torch.manual_seed(0)
        model = Pooled(**settings)
        freeze(model, True)
        digests.add(digest(cut(model, (3, 16, 16)).prefix))
    assert len(digests) == 2


def test_cut_refuses_a_prefix_that_mixes_images() -> None:
    with pytest.raises(CannotCutError, match="depends on other images"):
        cut(frozen(Odd), (3, 16, 16))


def test_digest_depends_on_weights_settings_and_steps() -> None:
    def of(model: nn.Module) -> str:
        freeze(model, True)
        return digest(cut(model, (3, 16, 16)).prefix)

    torch.manual_seed(0)
    model = Parts()
    assert of(frozen(Parts)) == of(model)
    other = Parts()
    other.load_state_dict(model.state_dict())
    other.body.weight.data[0, 0, 0, 0] += 1e-6
    wider = Parts()
    wider.load_state_dict(model.state_dict())
    wider.body.padding = (1, 1)
    assert len({of(model), of(other), of(wider), of(frozen(Noisy))}) >= 3
