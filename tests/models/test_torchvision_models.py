"""Every classifier of torchvision: published weight names, training, the cut, the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from harness.config.experiment import Experiment
from harness.data.prepare import Preparation, preparation_of
from harness.data.transforms import Transform
from harness.engine import checkpoint
from harness.models.build import as_library_reads, build, head_names, is_head
from harness.models.freezing import freeze
from harness.models.prefix import cut
from harness.models.saved import load_model
from harness.models.torchvision_models import torchvision_names
from harness.models.weights import Weights, read_weights
from harness.training.model import new_model, start_weights
from harness.training.rehearsal import batch_sizes, rehearse

FAST = {"densenet121", "googlenet", "mnasnet0_5", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"}
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in torchvision_names()]
CLASSES = ["a", "b"]
LABELS = [0, 1] * 6


def size_of(name: str) -> int:
    return {"maxvit_t": 224, "inception_v3": 96, "vit_h_14": 56}.get(name, 64)


def published_names(name: str, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Returns the names in the files on torchvision's server, which older versions wrote."""
    if name.startswith("vit_"):
        layers = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
        return {re.sub(r"\.mlp\.[03]\.", lambda found: layers[found[0]], key): value for key, value in state.items()}
    if name.startswith("densenet"):
        dotted = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): v for key, v in state.items()}
        return {key: value for key, value in dotted.items() if not key.endswith("num_batches_tracked")}
    return state


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder where torchvision looks before a download."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def reference_of(name: str, hub: Path) -> tuple[Path, nn.Module]:
    """Returns (a file like the published one, a model into which torchvision's builder has loaded it)."""
    entry = torchvision.models.get_model_weights(name).DEFAULT
    options: dict[str, Any] = {"image_size": entry.meta["min_size"][0]} if name.startswith("vit_") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": True, "init_weights": False}
    path = hub / Path(entry.url).name
    torch.save(published_names(name, torchvision.models.get_model(name, **options).state_dict()), path)
    return path, torchvision.models.get_model(name, weights=entry)


def require_equal(weights: Weights, model: nn.Module, reference: nn.Module) -> None:
    """Requires that the weights have the whole body of `model`, equal to that of `reference`."""
    heads, expected = head_names(model), reference.state_dict()
    body = {name for name in model.state_dict() if not is_head(name, heads)}
    assert body <= {*weights.state}
    for name in body:
        if name != "encoder.pos_embedding":  # it is interpolated to another size
            assert torch.equal(weights.state[name], expected[name]), name


def published(experiment: Experiment, hub: Path) -> Weights:
    """Returns the weights of a file like the published one, found by torchvision and also named by its path."""
    path, reference = reference_of(str(experiment.model), hub)
    model = build(experiment.model, 2, preparation_of(experiment).shape)
    for source in ("imagenet", str(path)):
        weights = start_weights(experiment.replace(weights=source), model, CLASSES)
        assert weights is not None
        require_equal(weights, model, reference)
    path.unlink()
    return weights


def require_trainable(experiment: Experiment, weights: Weights) -> nn.Module:
    """Trains one step on images or features. Returns the model."""
    preparation = preparation_of(experiment)
    model = new_model(experiment, weights, CLASSES, 1)
    made = cut(model, preparation.shape) if experiment.freeze else None
    arithmetic, sizes = {"device": "cpu", "precision": "fp32"}, batch_sizes([len(LABELS)], 8)
    assert rehearse(experiment, model, Transform(preparation), LABELS, 2, arithmetic, sizes, made) == []
    return model


@pytest.mark.parametrize("name", NAMES)
def test_every_classifier(name: str, hub: Path, tmp_path: Path) -> None:
    experiment = Experiment(model=name, image_size=size_of(name), precision="fp32", batch_size=8)
    transform = Transform(preparation_of(experiment))
    weights = published(experiment, hub)
    require_trainable(experiment.replace(freeze=True), weights)
    model = require_trainable(experiment, weights)
    del weights  # the largest model has 2.6 GB
    content = {"architecture": name, "classes": CLASSES, "transform": transform.to_dict()}
    checkpoint.save(tmp_path / "x.pt", {**content, "experiment": {}, "model": model.state_dict()})
    images = torch.randn(2, *transform.shape)
    with torch.inference_mode():
        expected = model.eval()(images)
    del model
    loaded = load_model(tmp_path / "x.pt").model
    (tmp_path / "x.pt").unlink()
    with torch.inference_mode():
        assert torch.equal(loaded(images), expected)
    exported = torch.export.export(loaded, (images,), strict=False)  # MLflow logs this
    assert torch.allclose(exported.module()(images), expected, atol=1e-4)


def test_fit_translates_old_names_with_the_models_hooks(tmp_path: Path) -> None:
    def small(classes: int) -> nn.Module:
        return torchvision.models.VisionTransformer(32, 16, 2, 2, 16, 16, num_classes=classes)

    source = small(7)
    torch.save(published_names("vit_", source.state_dict()), tmp_path / "vit.pth")
    model = small(2)
    weights = read_weights(tmp_path / "vit.pth").fit(model, "small", CLASSES, (3, 32, 32))
    require_equal(weights, model, source)


def test_fit_accepts_a_state_dict_without_metadata(tmp_path: Path) -> None:
    """MNASNet refuses a state dict without `_metadata`, but many programs lose it when they copy one."""
    source, model = build("mnasnet0_5", 2, (3, 32, 32)), build("mnasnet0_5", 2, (3, 32, 32))
    torch.save(dict(source.state_dict()), tmp_path / "w.pth")
    weights = read_weights(tmp_path / "w.pth").fit(model, "mnasnet0_5", CLASSES, (3, 32, 32))
    require_equal(weights, model, source)
    assert weights.head


def test_as_library_reads_is_none_for_other_models() -> None:
    assert as_library_reads("small_cnn", {}, 2, (3, 32, 32)) is None


def test_frozen_block_does_not_change_after_weights_are_loaded(tmp_path: Path) -> None:
    torch.save(build("resnet18", 5, (3, 32, 32)).state_dict(), tmp_path / "w.pth")
    experiment = Experiment(model="resnet18", weights=str(tmp_path / "w.pth"), freeze="layer3", image_size=32)
    model = build("resnet18", 2, (3, 32, 32))
    weights = start_weights(experiment, model, CLASSES)
    assert weights is not None
    model = new_model(experiment, weights, CLASSES, 1).train()
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    assert torch.equal(model.state_dict()["layer3.1.bn2.running_mean"], weights.state["layer3.1.bn2.running_mean"])
    assert not torch.equal(model.state_dict()["layer4.0.bn1.running_mean"], weights.state["layer4.0.bn1.running_mean"])
    assert freeze(build("resnet18", 2, (3, 32, 32)), True)[-1] == "avgpool"
    assert Preparation(32).shape == (3, 32, 32)
