"""The task of every contender: the same images, folds, model and settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn

from harness.data.demo import draw_demo
from harness.data.images import Images
from harness.data.listing import list_images
from harness.data.splits import Split, stratified_splits

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
SIZE, FOLDS = 224, 3
FINE_TUNE = {"batch": 32, "epochs": 2, "lr": 1e-4}
FROZEN = {"batch": 16, "epochs": 5, "lr": 1e-3}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Task:
    images: Images
    splits: list[Split]
    weights: Path | None

    @property
    def paths(self) -> list[Path]:
        return self.images.files()


def task() -> Task:
    """Real photographs and pretrained weights if this machine has them; otherwise demo data and random weights."""
    scenes, weights = SHARED / "data/scenes/train", SHARED / "weights/resnet18-scenes.pth"
    if not scenes.is_dir():
        draw_demo(ROOT / "data")
    images = list_images(scenes if scenes.is_dir() else ROOT / "data/train")
    return Task(images, stratified_splits(images, FOLDS, 0), weights if weights.is_file() else None)


def resnet18(weights: Path | None) -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(num_classes=2)
    if weights is not None:
        state = torch.load(weights, weights_only=True)
        model.load_state_dict(
            {name: value for name, value in state.items() if not name.startswith("fc.")}, strict=False
        )
    return model


def frozen(model: nn.Module) -> nn.Module:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc."))
    return model


def has_bf16() -> bool:
    """Whether contenders that can choose train in bf16; `harness` decides."""
    from harness.engine.precision import choose_precision

    return choose_precision("auto", torch.device("cpu")).name == "bf16"
