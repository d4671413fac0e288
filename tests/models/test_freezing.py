from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.engine.trainer import Trainer
from harness.errors import ModelError
from harness.models.build import build
from harness.models.freezing import blocks, count_parameters, freeze, silenced_dropout


def train(model: nn.Module) -> None:
    """Trains a few steps at a learning rate that changes everything that is not frozen."""
    images = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 1, 1, 0, 1])  # unequal: otherwise a bias gradient can be exactly zero
    batches = [(images[:6] * 5 + 3, targets), (images[6:], targets)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    Trainer(device="cpu", precision="fp32").fit(model, optimizer, batches, batches, epochs=2)


def moved(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    """Returns the names of parameters and buffers with at least one changed bit."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("name", "until", "free"),
    [
        ("resnet18", True, ("fc.",)),
        ("resnet18", "layer4", ("fc.",)),
        ("resnet18", "layer3", ("layer4.", "fc.")),
        ("resnet18", "layer3.0", ("layer3.1.", "layer4.", "fc.")),
        ("small_cnn", "blocks.block2", ("blocks.block3.", "blocks.block4.", "head.")),
        ("mobilenet_v3_small", "features", ("classifier.",)),
        ("mobilenet_v3_small", "features.6", (*(f"features.{i}." for i in range(7, 13)), "classifier.")),
        ("efficientnet_b0", True, ("classifier.1.",)),
        ("convnext_tiny", "features.5", ("features.6.", "features.7.", "classifier.")),
        ("vit_b_16", True, ("heads.",)),
    ],
)
def test_freeze_changes_no_bit_of_the_frozen_part_only(name: str, until: bool | str, free: tuple[str, ...]) -> None:
    model = build(name, 2, (3, 32, 32))
    freeze(model, until)
    before = copy.deepcopy(model.state_dict())
    train(model)
    free_names = {key for key in before if key.startswith(free)}
    assert moved(before, model) == free_names
    assert free_names


def test_freeze_false_changes_all_parameters_and_statistics() -> None:
    model = build("resnet18", 2, (3, 32, 32))
    assert freeze(model, False) == []
    before = copy.deepcopy(model.state_dict())
    train(model)
    assert moved(before, model) == set(before)


def test_frozen_modules_stay_in_eval_mode() -> None:
    model = build("mobilenet_v3_small", 2, (3, 32, 32))
    frozen = freeze(model, "features.3")
    model.train()
    model.features.train()  # type: ignore[operator, union-attr]
    training = {name for name, module in model.named_modules() if module.training}
    assert "features.3" in frozen
    assert not training & set(frozen)
    assert {"", "features", "features.4", "features.4.block.0.1", "classifier"} <= training
    assert not any(module.training for module in copy.deepcopy(model).train().features[0].modules())  # type: ignore[index, union-attr]


class Dropping(nn.Module):
    """Its dropout is defined first and runs last, or also in the body."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.5))
        self.last = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)
        self.twice = twice

    def forward(self, images: Tensor) -> Tensor:
        features = self.drop(self.body(images)) if self.twice else self.body(images)
        logits: Tensor = self.head(self.drop(self.last(features).mean((2, 3))))
        return logits


@pytest.mark.parametrize(
    ("model", "active", "off"),
    [
        (lambda: build("efficientnet_b0", 2, (3, 32, 32)), ["classifier.0"], []),
        (lambda: build("mobilenet_v3_small", 2, (3, 32, 32)), ["classifier.2"], []),
        (lambda: build("squeezenet1_1", 2, (3, 32, 32)), ["classifier.0"], []),
        (lambda: build("alexnet", 2, (3, 64, 64)), [], ["classifier.0", "classifier.3"]),
        (lambda: Dropping(twice=False), ["drop"], ["body.2"]),
        (lambda: Dropping(twice=True), [], ["drop", "body.2"]),
    ],
)
def test_freeze_keeps_dropout_before_the_head_active(
    model: Callable[[], nn.Module], active: list[str], off: list[str]
) -> None:
    """https://github.com/chemprop/chemprop/pull/952, https://github.com/isht7/pytorch-deeplab-resnet/issues/39"""
    made = model()
    freeze(made, True, (3, 64, 64))
    made.train()
    dropping = {n: m for n, m in made.named_modules() if isinstance(m, (nn.Dropout, nn.Dropout2d)) and m.p > 0}
    assert [name for name, module in dropping.items() if module.training] == active
    assert silenced_dropout(made) == off
    assert not any(module.training for module in made.modules() if isinstance(module, nn.BatchNorm2d))
    assert not any(module._forward_hooks for module in made.modules())


def test_freeze_of_a_named_block_switches_its_dropout_off() -> None:
    model = build("efficientnet_b0", 2, (3, 32, 32))
    freeze(model, "classifier.0", (3, 32, 32))
    assert silenced_dropout(model) == ["classifier.0"]


def test_frozen_model_is_freed_without_garbage_collection() -> None:
    model = build("resnet18", 2, (3, 32, 32))
    freeze(model, True)
    watched = weakref.ref(model.layer1)
    gc.disable()
    try:
        del model
        assert watched() is None
    finally:
        gc.enable()


def test_frozen_parameters_get_no_gradient() -> None:
    model = build("small_cnn", 2, (3, 32, 32))
    freeze(model, True)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {"head.weight", "head.bias"}
    assert count_parameters(model) == (258, 97_680)


def test_freeze_refuses_unknown_blocks_and_nothing_to_train() -> None:
    model = build("resnet18", 2, (3, 32, 32))
    with pytest.raises(ModelError, match=r"no block 'layr3'; did you mean 'layer3'") as caught:
        freeze(model, "layr3")
    assert "layer1, layer1.0" in caught.value.why
    with pytest.raises(ModelError, match="leaves nothing to train"):
        freeze(model, "fc")
    assert all(p.requires_grad for p in model.parameters())
    assert blocks(model)[:3] == ["conv1", "bn1", "layer1"]
    assert "fc" not in blocks(model)
