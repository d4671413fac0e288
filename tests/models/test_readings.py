"""Forms in which programs save weights; each one is from a public bug report."""

from __future__ import annotations

import argparse
import collections
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.errors import ModelError
from harness.models.build import build
from harness.models.weights import Weights, read_weights

CLASSES = ["forest", "sea"]
SHAPE = (3, 32, 32)
State = dict[str, Tensor]


def net(seed: int = 0, classes: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return build("small_cnn", classes, SHAPE)


def state(seed: int = 0) -> State:
    return dict(net(seed).state_dict())


def under(prefix: str, names: State) -> State:
    return {prefix + name: value for name, value in names.items()}


def fitted(path: Path, model: nn.Module | None = None, key: str | None = None) -> Weights:
    return read_weights(path).fit(model or net(9), "small_cnn", CLASSES, SHAPE, key)


def holds(weights: Weights, expected: State) -> bool:
    return all(torch.equal(value, expected[name]) for name, value in weights.state.items())


def infix(name: str) -> str:
    """Returns the name that FSDP and torch.compile give a part of a model, at any depth."""
    first, _, rest = name.partition(".")
    return f"_fsdp_wrapped_module.{first}._orig_mod.{rest}"


@pytest.mark.parametrize(
    ("saved", "part"),
    [
        (lambda s: s, ""),
        (lambda s: under("module.", s), " (module)"),
        (lambda s: under("_orig_mod.", s), " (_orig_mod)"),
        (lambda s: {"state_dict": under("model.", s), "epoch": 3}, " (state_dict.model)"),
        (lambda s: {"epoch": 3, "net": {"weights": under("module.backbone.", s)}}, " (net.weights.module.backbone)"),
        (lambda s: {"models": [s, {"x": torch.ones(2)}]}, " (models.0)"),
        (lambda s: (s, {"lr": 0.1}), " (0)"),
        (lambda s: {**under("net.", s), "pl_accuracy.correct": torch.ones(())}, " (net)"),
        (lambda s: {infix(name): value for name, value in s.items()}, ""),
        (lambda s: {**under("module.", s), "n_averaged": torch.tensor(3)}, " (module)"),
        (lambda s: under("ema_model.", s), " (ema_model)"),
    ],
)
def test_fit_uses_the_part_with_all_names_of_the_model(saved: Any, part: str, tmp_path: Path) -> None:
    torch.save(saved(state()), tmp_path / "w.pth")
    weights = fitted(tmp_path / "w.pth")
    assert weights.note.startswith(f"from {tmp_path / 'w.pth'}{part}, head included")
    assert holds(weights, state())


def test_fit_names_parts_that_are_not_used(tmp_path: Path) -> None:
    content = {
        "state_dict": under("model.", state()) | {"criterion.weight": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "best": np.float64(0.9),
        "counts": collections.defaultdict(list, {1: [2]}),
        "epoch": 3,
    }
    torch.save(content, tmp_path / "lightning.ckpt")
    weights = fitted(tmp_path / "lightning.ckpt")
    aside = "state_dict.criterion, optimizer_states, hyper_parameters (argparse.Namespace), best (numpy"
    assert f"(state_dict.model), head included; not used: {aside}" in weights.note
    assert holds(weights, state())


def test_fit_prefers_plain_weights_unless_weights_key_chooses(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict_ema": state(2), "state_dict": state(1)}, path)
    plain, averaged = fitted(path), fitted(path, key="state_dict_ema")
    assert holds(plain, state(1))
    assert "also fits: state_dict_ema (-s weights_key=state_dict_ema)" in plain.note
    assert holds(averaged, state(2))
    with pytest.raises(ModelError, match="no weights for small_cnn under 'model'") as caught:
        fitted(path, key="model")
    assert caught.value.why == "these parts fit: state_dict, state_dict_ema"


def test_fit_prefers_a_part_with_the_head(tmp_path: Path) -> None:
    body = {name: value for name, value in state(2).items() if not name.startswith("head.")}
    torch.save({"backbone": body, "whole": state(1)}, tmp_path / "w.pth")
    assert holds(fitted(tmp_path / "w.pth"), state(1))


def test_fit_refuses_weights_of_a_larger_model(tmp_path: Path) -> None:
    """ResNet34 has all layers of ResNet18, with the same shapes, and more."""
    torch.save(build("resnet34", 2, SHAPE).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="do not fit resnet18") as caught:
        read_weights(tmp_path / "w.pth").fit(build("resnet18", 2, SHAPE), "resnet18", CLASSES, SHAPE)
    assert "the file has layer1.2.conv1.weight" in caught.value.why


def test_fit_drops_an_incomplete_head(tmp_path: Path) -> None:
    names = {name: value for name, value in state().items() if name != "head.bias"}
    torch.save(names, tmp_path / "w.pth")
    weights = fitted(tmp_path / "w.pth")
    assert not weights.head
    assert "its head has another structure" in weights.note


def test_fit_refuses_a_file_without_a_fitting_part(tmp_path: Path) -> None:
    """With strict=False torch would load nothing, without a message (torchgeo 4036)."""
    torch.save(under("model.encoder.", state()) | {"w": torch.ones(1)}, tmp_path / "w.pth")
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match="do not fit"):
        fitted(tmp_path / "w.pth", other)


class Wrapped(nn.Module):
    """A backbone without its head, and a new head, as many people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = net(5)
        self.backbone.head = nn.Identity()
        self.neck = nn.Dropout(0.1)
        self.top = nn.Linear(128, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.top(self.neck(self.backbone(images)))
        return logits


def test_fit_finds_the_part_of_the_model_that_a_file_is_for(tmp_path: Path) -> None:
    """With strict=False torch would load nothing, without a message (torchgeo 4036)."""
    torch.save({"state_dict": state()}, tmp_path / "w.pth")
    model = Wrapped()
    weights = fitted(tmp_path / "w.pth", model)
    assert "(state_dict) for backbone; it has no head, so top starts from random weights" in weights.note
    assert "not used: state_dict.head" in weights.note
    assert {name.removeprefix("backbone.") for name in weights.state} == {
        n for n in state() if not n.startswith("head")
    }
    weights.load_into(model, "wrapped")
    assert torch.equal(model.state_dict()["backbone.blocks.block2.0.weight"], state()["blocks.block2.0.weight"])


def test_fit_reads_safetensors(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors", {"format": "pt"})
    assert holds(fitted(tmp_path / "w.safetensors"), state())
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(tmp_path / "half.safetensors")


def test_fit_reads_the_backbone_of_a_sequential(tmp_path: Path) -> None:
    """Many recipes wrap a model as nn.Sequential(backbone, head)."""
    body = {name: value for name, value in state().items() if not name.startswith("head.")}
    torch.save(under("0.", body) | {"1.weight": torch.ones(2, 128)}, tmp_path / "w.pth")
    weights = fitted(tmp_path / "w.pth")
    assert not weights.head
    assert "it has no head, so head starts from random weights; not used: 1" in weights.note


def test_read_weights_names_the_object_and_a_line_to_convert_it(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": net()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no weights") as caught:
        read_weights(tmp_path / "w.pt")
    assert "'model' is a harness.models.small_cnn.SmallCNN, a Python object" in caught.value.why
    line = caught.value.fix.partition("if you trust it: ")[2]
    assert line == "torch.save(torch.load('w.pt', weights_only=False)[\"model\"].state_dict(), 'w-weights.pth')"


def test_converting_returns_a_line_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": 3, "model": net()}, "w.pt")
    torch.save(net(), "whole.pt")
    torch.save({"state_dict": state()}, "four.pt", pickle_protocol=4)
    for name in ("w.pt", "whole.pt", "four.pt"):
        with pytest.raises(ModelError) as caught:
            read_weights(Path(name))
        exec(caught.value.fix.partition("if you trust it: ")[2], {"torch": torch})
        assert holds(fitted(Path(name.replace(".pt", "-weights.pth"))), state())


def test_fit_leaves_out_a_head_of_several_layers(tmp_path: Path) -> None:
    model = net()
    model.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 2))
    torch.save(state(), tmp_path / "w.pth")
    weights = fitted(tmp_path / "w.pth", model)
    assert "its head has another structure, so head starts from random weights" in weights.note
    assert {*weights.state} == {name for name in state() if not name.startswith("head.")}


def test_fit_ignores_counters_of_a_profiler(tmp_path: Path) -> None:
    counted = {"total_ops": torch.zeros(1), "blocks.block1.0.total_params": torch.zeros(1)}
    torch.save(state() | counted, tmp_path / "w.pth")
    assert holds(fitted(tmp_path / "w.pth"), state())


def test_fit_refuses_integers_for_float_weights(tmp_path: Path) -> None:
    torch.save({name: (100 * value).to(torch.int8) for name, value in state().items()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="do not fit") as caught:
        fitted(tmp_path / "w.pth")
    assert "the file has blocks.block1.0.weight (16, 3, 3, 3) int8" in caught.value.why


def test_fit_names_the_same_tensors_once(tmp_path: Path) -> None:
    torch.save(under("_fsdp_wrapped_module.", state()), tmp_path / "w.pth")
    assert "also fits" not in fitted(tmp_path / "w.pth").note


def test_fit_accepts_a_model_that_cannot_be_copied(tmp_path: Path) -> None:
    torch.save(under("module.", state()), tmp_path / "w.pth")
    model = net(9)
    model.lock = threading.Lock()  # type: ignore[assignment]
    weights = fitted(tmp_path / "w.pth", model)
    assert holds(weights, state())
