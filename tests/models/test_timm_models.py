"""Models of timm: names, weights, inputs, and the cut of the frozen part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.config.experiment import Experiment
from harness.data.prepare import Preparation
from harness.data.transforms import Transform, seeded
from harness.engine import checkpoint
from harness.errors import ModelError
from harness.models.build import build, head_names
from harness.models.freezing import freeze
from harness.models.prefix import cut
from harness.models.saved import load_model
from harness.models.timm_models import published_by_timm
from harness.models.wanted import normalisation_of, wishes
from harness.models.weights import read_weights
from harness.training.inputs import choose_inputs, with_wanted

timm = pytest.importorskip("timm")
LITE = "timm/tf_efficientnet_lite0"
CLASSES = ["a", "b"]
SMALL = {
    "timm/resnet10t": 32,
    "timm/tf_efficientnet_lite0": 64,  # paddings that depend on the image
    "timm/vit_tiny_patch16_224": 32,
    "timm/deit_tiny_distilled_patch16_224": 32,  # two heads
    "timm/levit_128s": 224,  # caches attention in the model
    "timm/convnext_atto": 32,
}


SLOW = ("timm/levit_128s", "timm/deit_tiny_distilled_patch16_224")


@pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param(*item, marks=pytest.mark.slow if item[0] in SLOW else ()) for item in SMALL.items()],
)
def test_timm_model_is_built_frozen_cut_and_loaded(name: str, size: int, tmp_path: Path) -> None:
    shape = (3, size, size)
    source = timm.create_model(
        name.removeprefix("timm/"), num_classes=7, **({"img_size": size} if "it_" in name else {})
    )
    torch.save({"state_dict": {f"module.{key}": value for key, value in source.state_dict().items()}}, tmp_path / "w")
    model = build(name, 2, shape)
    weights = read_weights(tmp_path / "w").fit(model, name, CLASSES, shape)
    weights.load_into(model, name)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in weights.state.items())
    freeze(model, True)
    assert {key.split(".")[0] for key, value in model.named_parameters() if value.requires_grad} <= {
        head.split(".")[0] for head in head_names(model)
    }
    images = torch.randn(2, *shape)
    model.eval()
    with torch.inference_mode():
        before = model(images)
    made = cut(model, shape)
    with torch.inference_mode():
        assert torch.allclose(made.forward(model, made.prefix(images)), before, atol=1e-4)
        assert torch.equal(model(images), before)  # tracing did not change it
    transform = Transform(Preparation(size), (0.5,) * 3, (0.5,) * 3).to_dict()
    content = {"architecture": name, "classes": CLASSES, "transform": transform, "experiment": {}}
    checkpoint.save(tmp_path / "x.pt", {**content, "model": model.state_dict()})
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path / "x.pt").model(images), before)


@pytest.mark.parametrize(("name", "active"), [("convnext_atto", ["head.drop"]), ("tf_efficientnet_lite0", [])])
def test_freeze_keeps_dropout_before_the_head_of_timm_models_active(name: str, active: list[str]) -> None:
    model = timm.create_model(name, num_classes=2, drop_rate=0.3)
    freeze(model, True, (3, 64, 64))
    dropping = {n: m for n, m in model.train().named_modules() if isinstance(m, torch.nn.Dropout) and m.p > 0}
    assert [n for n, module in dropping.items() if module.training] == active  # the other model calls a function
    made, images = cut(model, (3, 64, 64)), torch.randn(2, 3, 64, 64)
    features = made.prefix(images)
    model.train()
    with seeded(1):
        live = model(images)
    with seeded(1):
        assert torch.allclose(made.forward(model, features.clone()), live, atol=1e-4)
    assert not torch.equal(made.forward(model, features.clone()), made.forward(model, features.clone()))


def test_library_weights_give_the_logits_of_timm(lite_weights: Path, tmp_path: Path) -> None:
    """From a photograph to the logits of ImageNet's classes, with timm's transform and with this package's."""
    reference = timm.create_model(LITE.removeprefix("timm/")).eval()
    reference.load_state_dict(torch.load(lite_weights, weights_only=True))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)).resize((400, 300))
    picture.save(tmp_path / "x.png")
    timms = timm.data.create_transform(**timm.data.resolve_model_data_config(reference))
    saved = load_model(lite_weights, classes=[f"c{i}" for i in range(1000)], architecture=LITE)
    array = saved.transform.preparation.decode((tmp_path / "x.png").read_bytes())
    images = saved.transform.normalise(torch.from_numpy(array).permute(2, 0, 1)[None])
    with torch.inference_mode():
        ours, theirs = saved.model(images), reference(timms(picture)[None])
    assert torch.allclose(images, timms(picture)[None], atol=1e-5)
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_with_wanted_uses_timms_settings_for_unset_fields() -> None:
    experiment = with_wanted(Experiment(model="timm/resnet18", interpolation="nearest"))
    assert (experiment.image_size, experiment.resize, experiment.center_crop) == (224, "crop", 0.95)
    assert experiment.interpolation == "nearest"
    assert experiment.origin("center_crop") == "found in model"
    again = with_wanted(experiment.replace(model="resnet18"))  # a trial of a search may do this
    assert (again.resize, again.center_crop, again.interpolation) == ("squash", 1.0, "nearest")


def test_choose_inputs_prefers_experiment_then_weights_then_model() -> None:
    lite = build(LITE, 2, (3, 64, 64))
    experiment = Experiment(model=LITE)
    assert normalisation_of(lite) == ((0.5,) * 3, (0.5,) * 3)
    assert choose_inputs(experiment, None, lite).mean == (0.5,) * 3
    assert choose_inputs(experiment.replace(normalise="imagenet"), None, lite).mean == (0.485, 0.456, 0.406)
    said = choose_inputs(experiment.override({"normalise": "0.25,0.125"}), None, lite)
    assert (said.mean, said.std) == ((0.25,) * 3, (0.125,) * 3)
    plain = choose_inputs(Experiment(model=lambda classes: None), None, torch.nn.Linear(2, 2))
    assert plain.mean == (0.485, 0.456, 0.406)
    assert "-s normalise=" in plain.source


def test_wishes_of_other_models_are_empty() -> None:
    assert wishes("resnet18") == {}


@pytest.mark.parametrize(
    ("name", "says"),
    [("timm/resnet8", "did you mean 'timm/resnet18'"), ("timm/resnet18.a9", "did you mean 'timm/resnet18.a")],
)
def test_build_timm_refuses_an_unknown_name(name: str, says: str) -> None:
    with pytest.raises(ModelError, match="there is no model") as caught:
        build(name, 2, (3, 32, 32))
    assert says.split("'")[1] in caught.value.what


def test_fit_refuses_weights_of_another_timm_model(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="do not fit timm/resnet10t"):
        read_weights(tmp_path / "w.pth").fit(
            build("timm/resnet10t", 2, (3, 32, 32)), "timm/resnet10t", CLASSES, (3, 32, 32)
        )


def test_fit_interpolates_positions_as_timm_does(tmp_path: Path) -> None:
    """The file has a wrapper's names and no head (solo-learn 218)."""
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    body = {f"backbone.{key}": value for key, value in state.items() if not key.startswith("head.")}
    torch.save({"state_dict": body}, tmp_path / "w.ckpt")
    name, shape = "timm/vit_tiny_patch16_224", (3, 64, 64)
    weights = read_weights(tmp_path / "w.ckpt").fit(build(name, 2, shape), name, CLASSES, shape)
    overlay = {"state_dict": state, "num_classes": 1000}
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=64, pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(weights.state["pos_embed"], theirs.state_dict()["pos_embed"])


def test_published_by_timm_refuses_weights_for_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models of timm cannot interpolate them (pytorch-image-models 1637)."""

    def create(*names: object, **options: object) -> None:
        raise RuntimeError("Error(s) in loading state_dict:\n\tsize mismatch for levels.0: (7) from the checkpoint")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(ModelError, match="do not fit images of 96 px") as caught:
        published_by_timm("timm/gcvit_xxtiny", 2, (3, 96, 96))
    assert caught.value.fix.startswith("-s image_size=224")
