"""Tests of heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import get_model

from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.models.saved import SavedModel
from harness.plots.heat_map import write_heat_map
from harness.workflows.predict.explain import HeatMapFolder, HeatMaps
from harness.workflows.predict.prediction import Prediction

CPU = torch.device("cpu")


class Corner(nn.Module):
    """Measures the red of the upper left quarter with a convolution, and changes its output in place."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 1, bias=False)
        with torch.no_grad():
            self.maps.weight.zero_()
            self.maps.weight[0, 0] = 1
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu_(self.maps(images))
        half = maps.shape[2] // 2
        red = maps[:, 0, :half, :half].mean((1, 2))
        return torch.stack([red, -red], 1)


def saved(model: nn.Module, size: int) -> SavedModel:
    transform = Transform(Preparation(image_size=size), (0.0,) * 3, (1.0,) * 3)
    return SavedModel(model.eval(), "own", ("red", "other"), transform, {}, None, None)


def test_heat_maps_of_a_frozen_model_with_in_place_operations() -> None:
    model = Corner()
    maps = HeatMaps(saved(model, 8), CPU)
    assert maps.method == "Grad-CAM at maps"
    image = np.zeros((8, 8, 3), np.uint8)
    image[:2, :2, 0] = 255
    heat = maps.of(image, 0)
    assert heat.shape == (8, 8)
    assert heat[0, 0] == 1
    assert heat[5:, 5:].max() == 0
    assert isinstance(model.maps, nn.Conv2d)  # the model is unchanged


class Patches(nn.Module):
    """Like a vision transformer: only its first layer has feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 4, 4, 4)
        self.layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(self.cut(images).flatten(2).transpose(1, 2))).mean(1)  # type: ignore[no-any-return]


def test_heat_maps_of_a_transformer_hide_patches() -> None:
    torch.manual_seed(0)
    maps = HeatMaps(saved(Patches(), 28), CPU)
    assert maps.method == "occlusion"
    heat = maps.of(np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8), 1)
    assert (heat.min(), heat.max()) == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_16"]
)
def test_heat_maps_of_every_kind_of_model(name: str) -> None:
    torch.manual_seed(0)
    model = get_model(name, weights=None, num_classes=2)
    if name == "vit_b_16":
        nn.init.normal_(model.heads[-1].weight)
    heat = HeatMaps(saved(model, 224), CPU).of(np.full((224, 224, 3), 99, np.uint8), 0)
    assert heat.shape == (224, 224)


def test_heat_map_folder_overwrites_no_image(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((8, 8, 3), 200, np.uint8))
    for name in ("a.jpg", "in/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name)
    before = (tmp_path / "a.jpg").read_bytes()
    folder = HeatMapFolder(tmp_path, saved(Corner(), 8), CPU)
    paths = [
        folder.write(Prediction(("red", "other"), np.array([0.9, 0.1]), str(tmp_path / name)))
        for name in ("a.jpg", "in/a.jpg")
    ]
    assert [path.name for path in paths] == ["a.heatmap.jpg", "a-2.heatmap.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == before
    long = tmp_path / f"{'a' * 250}.jpg"
    image.save(long)
    assert folder.write(Prediction(("red", "other"), np.array([0.9, 0.1]), str(long))).is_file()


def test_write_heat_map_shows_the_image_beside_it(tmp_path: Path) -> None:
    heat: Any = np.linspace(0, 1, 400).reshape(20, 20)
    for channels in (1, 3):
        write_heat_map(tmp_path / "map.jpg", np.full((20, 20, channels), 128, np.uint8), heat)
        with Image.open(tmp_path / "map.jpg") as drawn:
            pixels = np.array(drawn).astype(int)
        assert pixels.shape == (20, 42, 3)
        assert abs(pixels[:, :18] - 128).max() < 12
        assert abs(pixels[-3:, -10:] - 128).max() > 40
