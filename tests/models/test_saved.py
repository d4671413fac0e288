from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from harness.errors import ModelError, UsageError
from harness.models.build import build
from harness.models.saved import load_model
from tests.conftest import Tracked

LEGACY = "cnn_resnet18_freeze_backbone_False_fold_2.pth"


def checkpoint(tracked: Tracked) -> Path:
    return tracked.run.checkpoint_of(tracked.run.best_fold() or {})


def legacy(folder: Path, name: str = LEGACY, classes: int = 2) -> Path:
    """Writes a state dict of the earlier program: a ResNet18 in a module under the name `resnet`."""
    torch.manual_seed(0)
    weights = build("resnet18", classes, (3, 64, 64)).state_dict()
    torch.save({f"resnet.{key}": value for key, value in weights.items()}, folder / name)
    return folder / name


def test_load_model_needs_only_the_checkpoint(tracked: Tracked, tmp_path: Path) -> None:
    alone = Path(shutil.copy(checkpoint(tracked), tmp_path / "renamed.bin"))
    loaded = load_model(alone)
    assert (loaded.architecture, loaded.classes) == ("small_cnn", ("forest", "sea"))
    assert loaded.transform.image_size == 32
    assert loaded.experiment["batch_size"] == 8
    assert loaded.data_digest == tracked.run.record.data.digest
    assert not loaded.model.training
    assert loaded.model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_load_model_refuses_arguments_that_differ_from_the_file(tracked: Tracked) -> None:
    path = checkpoint(tracked)
    assert load_model(path, classes=["forest", "sea"], architecture="small_cnn", image_size=32).fold
    with pytest.raises(UsageError, match="has other classes"):
        load_model(path, classes=["sea", "forest"])
    with pytest.raises(UsageError, match="has another model"):
        load_model(path, architecture="resnet18")
    with pytest.raises(UsageError, match="has another image size"):
        load_model(path, image_size=64)


def test_load_model_reads_a_state_dict_of_the_earlier_program(tmp_path: Path) -> None:
    path = legacy(tmp_path)
    loaded = load_model(path, classes=["sea", "forest"], image_size=64)
    assert (loaded.architecture, loaded.classes, loaded.transform.image_size) == ("resnet18", ("sea", "forest"), 64)
    assert loaded.experiment == {"freeze": False}
    torch.manual_seed(0)
    original = build("resnet18", 2, (3, 64, 64)).eval()
    inputs = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(inputs), original(inputs))


def test_load_model_reads_freezing_from_the_file_name(tmp_path: Path) -> None:
    path = legacy(tmp_path, "cnn_resnet18_freeze_backbone_True_fold_0.pth")
    assert load_model(path, classes=["sea", "forest"]).experiment == {"freeze": True}
    assert load_model(path, classes=["sea", "forest"]).transform.image_size == 224


def test_load_model_of_a_state_dict_needs_classes_and_model(tmp_path: Path) -> None:
    path = legacy(tmp_path)
    with pytest.raises(UsageError, match="does not say its classes") as caught:
        load_model(path)
    assert caught.value.fix.startswith("--classes sea,forest")
    with pytest.raises(ModelError, match="is not a model for these 3 classes"):
        load_model(path, classes=["sea", "forest", "lake"])
    unnamed = path.rename(tmp_path / "best.pth")
    with pytest.raises(UsageError, match="does not say which model it is"):
        load_model(unnamed, classes=["sea", "forest"])
    assert load_model(unnamed, classes=["sea", "forest"], architecture="resnet18").architecture == "resnet18"


def test_load_model_uses_the_longest_model_name_in_the_file_name(tmp_path: Path) -> None:
    torch.save(build("resnet50", 2, (3, 64, 64)).state_dict(), tmp_path / "my_wide_resnet50_2_no.pth")
    with pytest.raises(ModelError, match="do not fit wide_resnet50_2"):
        load_model(tmp_path / "my_wide_resnet50_2_no.pth", classes=["a", "b"])


def test_load_model_refuses_an_incomplete_checkpoint(tmp_path: Path) -> None:
    torch.save({"format": "harness-checkpoint-1", "model": {}, "classes": ["a"]}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="is not a complete checkpoint"):
        load_model(tmp_path / "x.pt")
