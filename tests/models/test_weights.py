from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.engine import checkpoint
from harness.errors import ModelError, RemoteError
from harness.models.build import build, published_weights
from harness.models.weights import library_weights, read_weights

CLASSES = ["forest", "sea"]
SIZE = (64, 64)


def small(classes: int = 2) -> nn.Module:
    return build("small_cnn", classes, (3, 32, 32))


def load_weights(model: nn.Module, architecture: str, source: str, classes: list[str]) -> str:
    shape = (next(model.parameters()).shape[1], *SIZE)
    if source == "imagenet":
        weights = library_weights(published_weights(architecture, 2, shape), model, architecture, shape)
    else:
        weights = read_weights(Path(source)).fit(model, architecture, classes, shape)
    weights.load_into(model, architecture)
    return weights.note


def saved(path: Path, state: Any) -> str:
    torch.save(state, path)
    return str(path)


def same(one: nn.Module, other: nn.Module, but: str = "head.") -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0] if not name.startswith(but))


def test_fit_drops_a_head_of_another_size_and_says_so(tmp_path: Path) -> None:
    source, model = small(4), small()
    own_head = model.state_dict()["head.weight"].clone()
    note = load_weights(model, "small_cnn", saved(tmp_path / "w.pth", source.state_dict()), CLASSES)
    assert "its head has 4 outputs, so head starts from random weights" in note
    assert same(source, model)
    assert torch.equal(model.state_dict()["head.weight"], own_head)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "resnet."])
def test_fit_reads_common_forms_of_saved_weights(wrap: Any, prefix: str, tmp_path: Path) -> None:
    source, model = small(), small()
    state = {prefix + name: value for name, value in source.state_dict().items()}
    note = load_weights(model, "small_cnn", saved(tmp_path / "w.pth", wrap(state)), CLASSES)
    assert "head included" in note
    assert same(source, model, but="-")


def ours(path: Path, **content: Any) -> None:
    transform = {"image_size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    checkpoint.save(path, {"model": small().state_dict(), "transform": transform, **content})


def test_fit_drops_a_head_of_another_structure(tmp_path: Path) -> None:
    source = small()
    source.head = nn.Sequential(nn.Dropout(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2))
    model = small()
    note = load_weights(model, "small_cnn", saved(tmp_path / "w.pth", source.state_dict()), CLASSES)
    assert "its head has another structure" in note
    assert same(source, model)
    body = {name: value for name, value in source.state_dict().items() if not name.startswith("head.")}
    assert "it has no head" in load_weights(model, "small_cnn", saved(tmp_path / "b.pth", body), CLASSES)


def test_fit_drops_a_head_for_other_classes(tmp_path: Path) -> None:
    ours(tmp_path / "c.pt", classes=["sea", "forest"])
    assert "is for other classes" in load_weights(small(), "small_cnn", str(tmp_path / "c.pt"), CLASSES)
    assert "head included" in load_weights(small(), "small_cnn", str(tmp_path / "c.pt"), ["sea", "forest"])


def test_fit_refuses_weights_of_another_model(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", build("resnet18", 2, (3, 32, 32)).state_dict())
    with pytest.raises(ModelError, match="do not fit small_cnn") as caught:
        load_weights(small(), "small_cnn", path, CLASSES)
    assert "blocks.block1.0.weight (16, 3, 3, 3)" in caught.value.why
    assert "conv1.weight (64, 3, 7, 7)" in caught.value.why
    with pytest.raises(ModelError, match="do not fit resnet50"):
        load_weights(build("resnet50", 2, (3, 32, 32)), "resnet50", path, CLASSES)


def test_read_weights_refuses_files_without_weights(tmp_path: Path) -> None:
    for state in ({"epoch": 3}, {}):
        with pytest.raises(ModelError, match="holds no weights"):
            load_weights(small(), "small_cnn", saved(tmp_path / "w.pth", state), CLASSES)
    with pytest.raises(ModelError, match="does not exist"):
        load_weights(small(), "small_cnn", str(tmp_path / "nowhere.pth"), CLASSES)


def test_fit_loads_published_weights_into_a_resnet18(scenes_weights: Path) -> None:
    model = build("resnet18", 2, (3, 64, 64))
    assert "its head has 4 outputs" in load_weights(model, "resnet18", str(scenes_weights), CLASSES)
    state = torch.load(scenes_weights, weights_only=True)
    assert torch.equal(model.state_dict()["layer4.1.bn2.running_mean"], state["layer4.1.bn2.running_mean"])


def imagenet_file(name: str, monkeypatch: pytest.MonkeyPatch, hub: Path) -> nn.Module:
    """Writes a file of random weights to the place where torchvision looks before a download."""
    import torchvision

    model: nn.Module = torchvision.models.get_model(name)
    entry = torchvision.models.get_model_weights(name).DEFAULT
    (hub / "checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), hub / "checkpoints" / Path(entry.url).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    return model


def test_library_weights_loads_imagenet_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = imagenet_file("resnet18", monkeypatch, tmp_path)
    model = build("resnet18", 2, (3, 64, 64))
    note = load_weights(model, "resnet18", "imagenet", CLASSES)
    assert "its head has 1000 outputs, so fc starts from random weights" in note
    assert same(source, model, but="fc.")


def test_library_weights_interpolates_positions_of_a_vision_transformer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = imagenet_file("vit_b_16", monkeypatch, tmp_path)
    model = build("vit_b_16", 2, (3, 64, 64))
    load_weights(model, "vit_b_16", "imagenet", CLASSES)
    assert model.state_dict()["encoder.pos_embedding"].shape == (1, 1 + 4 * 4, 768)
    assert torch.equal(model.state_dict()["conv_proj.weight"], source.state_dict()["conv_proj.weight"])


def test_published_by_torchvision_without_network_suggests_two_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(RemoteError, match="cannot be downloaded") as caught:
        load_weights(build("resnet18", 2, (3, 64, 64)), "resnet18", "imagenet", CLASSES)
    assert "-s weights=FILE" in caught.value.fix
    assert "-s weights=none" in caught.value.fix
    with pytest.raises(ModelError, match="has no ImageNet weights"):
        load_weights(small(), "small_cnn", "imagenet", CLASSES)


def test_weights_have_their_normalisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagenet_file("resnet18", monkeypatch, tmp_path)
    weights = published_weights("resnet18", 2, (3, *SIZE))
    assert (weights.mean, weights.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.save(small().state_dict(), tmp_path / "bare.pth")
    assert read_weights(tmp_path / "bare.pth").mean is None
    ours(tmp_path / "c.pt", data_digest="abc.dir")
    own = read_weights(tmp_path / "c.pt")
    assert (own.mean, own.std, own.data_digest) == ((0.5,) * 3, (0.25,) * 3, "abc.dir")


def test_fit_accepts_a_layer_named_like_an_auxiliary_head(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.auxiliary = nn.Linear(3, 3)
            self.head = nn.Linear(3, 2)

    source, model = Own(), Own()
    load_weights(model, "own", saved(tmp_path / "w.pth", source.state_dict()), CLASSES)
    assert same(source, model, but="-")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_build_torchvision_sets_transform_input_for_two_models(name: str) -> None:
    assert build(name, 2, (3, 96, 96)).transform_input is True


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121", "small_cnn"])
def test_fit_colour_weights_give_the_same_result_for_grey_images(name: str, tmp_path: Path) -> None:
    """The channels are summed, not averaged (segmentation_models.pytorch 341)."""
    colour = build(name, 2, (3, 64, 64)).eval()
    grey = build(name, 2, (1, 64, 64)).eval()
    note = load_weights(grey, name, saved(tmp_path / "w.pth", colour.state_dict()), CLASSES)
    assert note.endswith("head included")
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(grey(image), colour(image.expand(2, 3, 64, 64)), atol=1e-4)
