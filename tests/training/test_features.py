from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.config.experiment import Experiment
from harness.data.decode import read
from harness.data.pixels import DECODER
from harness.engine import checkpoint
from harness.engine.trainer import Callback, State
from harness.errors import TrainingError
from harness.models.build import build
from harness.models.saved import load_model
from harness.training.features import _libraries
from harness.workflows import make_plan as planning
from harness.workflows.crossval import CrossValidation, cross_validate
from harness.workflows.make_plan import make_plan
from harness.workflows.test import evaluate


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns an empty cache folder."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """Returns a file with the weights of a small network."""
    torch.manual_seed(1)
    torch.save(build("small_cnn", 5, (3, 32, 32)).state_dict(), tmp_path / "body.pt")
    return tmp_path / "body.pt"


@pytest.fixture
def run(own_cache: Path, body: Path, scenery: Path, tmp_path: Path, undrawn: None) -> Callable[..., CrossValidation]:
    def run_small(**fields: Any) -> CrossValidation:
        values = {
            "data": str(scenery),
            "model": "small_cnn",
            "weights": str(body),
            "freeze": True,
            "image_size": 32,
            "folds": 2,
            "epochs": 2,
            "batch_size": 8,
            "lr": 1e-2,
            "precision": "fp32",
            "trackers": (),
        }
        return cross_validate(Experiment(**{**values, **fields}), runs=tmp_path / "runs")

    return run_small


def numbers(result: CrossValidation) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if "seconds" not in k} for r in result.results for row in r.history]


def computed(err: str) -> list[int]:
    """Returns the number of images for each run of the frozen part."""
    return [int(line.split()[2]) for line in err.splitlines() if line.startswith("frozen part: ")]


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze": True},
        {"freeze": "blocks.block2", "optimizer": "sgd", "precision": "bf16"},
        pytest.param(
            {"freeze": "blocks.block3", "augment": "flip", "views": 2, "epochs": 4, "folds": 0}, marks=pytest.mark.slow
        ),
        pytest.param({"freeze": True, "folds": 0, "scheduler": "onecycle", "workers": 2}, marks=pytest.mark.slow),
        {"model": "mobilenet_v3_small", "weights": None, "folds": 0, "epochs": 1, "batch_size": 16},  # with dropout
        pytest.param(
            {"model": "resnet18", "weights": None, "freeze": "layer2", "folds": 0, "epochs": 1, "batch_size": 16},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_features_give_the_same_results_as_images(
    run: Callable[..., CrossValidation], fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    precision = fields.get("precision", "fp32")
    cached = run(**fields)
    assert computed(capsys.readouterr().err) != []
    live = run(cache=False, **fields)
    assert computed(capsys.readouterr().err) == []
    for ours, theirs in zip(numbers(cached), numbers(live), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5 if precision == "fp32" else 1e-2)
    same = np.array_equal(cached.predictions.predicted, live.predictions.predicted)
    assert same or precision == "bf16"
    ours, theirs = cached.predictions.probabilities, live.predictions.probabilities
    assert ours == pytest.approx(theirs, abs=1e-5 if precision == "fp32" else 2e-2)


def test_features_are_computed_once_for_all_epochs_folds_and_runs(
    run: Callable[..., CrossValidation], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run()
    assert computed(capsys.readouterr().err) == [33]
    assert numbers(run()) == numbers(first)
    assert capsys.readouterr().err.count("found in the cache: 33 features, small_cnn without its head") == 1
    run(lr=1e-3, batch_size=4, optimizer="sgd", folds=0, seed=7, loss=torch.nn.functional.cross_entropy)
    assert computed(capsys.readouterr().err) == []
    for other in ({"freeze": "blocks.block3"}, {"image_size": 48}, {"precision": "bf16"}):
        run(folds=0, epochs=1, **other)
    assert computed(capsys.readouterr().err) == [33, 33, 33]


def test_features_are_computed_again_for_other_weights_and_images(
    run: Callable[..., CrossValidation],
    scenery: Path,
    tmp_path: Path,
    body: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scenery, copy)
    run(data=str(copy), folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == [33]
    (copy / "sea/sea00.jpg").write_bytes((copy / "sea/sea01.jpg").read_bytes() + b" ")  # same pixels, different bytes
    shutil.copy(copy / "forest/forest00.jpg", copy / "forest/more.jpg")  # a copy needs no computation
    (copy / "sea/sea02.jpg").rename(copy / "sea/renamed.jpg")
    run(data=str(copy), folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == [1]
    state = torch.load(body)
    state["blocks.block1.0.weight"][0, 0, 0, 0] += 1e-3
    torch.save(state, body)
    run(data=str(copy), folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == [33]  # 34 images, of which two have equal bytes
    state["head.weight"] += 1
    torch.save(state, body)
    run(data=str(copy), folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == []  # the head does not matter for features


def test_checkpoint_holds_the_whole_model_if_features_are_cached(
    run: Callable[..., CrossValidation], scenery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Looks.seen.clear()
    result = run(folds=0, freeze="blocks.block2", callbacks=[Looks()])
    assert Looks.seen == [(set(build("small_cnn", 2, (3, 32, 32)).state_dict()), False)] * 2
    assert computed(capsys.readouterr().err) == [33]
    path = result.results[0].checkpoint
    assert set(checkpoint.load(path)["model"]) == set(build("small_cnn", 2, (3, 32, 32)).state_dict())
    evaluation = evaluate(
        load_model(path), path, scenery, allow_leak=True, runs=tmp_path / "tests", device="cpu", trackers=[]
    )
    again = dict(zip(evaluation.predictions.paths, evaluation.uncalibrated, strict=True))
    assert len(result.predictions)
    for path, shares in zip(result.predictions.paths, result.predictions.probabilities, strict=True):
        assert again[path] == pytest.approx(shares, abs=1e-6)


class Looks(Callback):
    """Checks that a user's callback finds all parts of the model under their names."""

    seen: list[tuple[set[str], bool]] = []

    def on_epoch_end(self, state: State) -> None:
        self.seen.append((set(state.model.state_dict()), state.model.get_submodule("blocks.block1").training))


class Thaws(Callback):
    def on_epoch_end(self, state: State) -> None:
        for parameter in state.model.get_submodule("blocks.block2").parameters():
            parameter.requires_grad_(True)


def test_still_frozen_refuses_unfreezing(run: Callable[..., CrossValidation]) -> None:
    with pytest.raises(TrainingError, match="the frozen part has changed") as caught:
        run(freeze="blocks.block2", callbacks=[Thaws()], folds=0)
    assert "-s cache=false" in caught.value.fix
    run(freeze="blocks.block2", callbacks=[Thaws()], folds=0, cache=False)


class Spoils(Callback):
    def on_epoch_start(self, state: State) -> None:
        with torch.no_grad():
            state.model.get_submodule("blocks.block1.0").weight.mul_(0.5)


class Replaces(Callback):
    def on_epoch_start(self, state: State) -> None:
        state.model.blocks.block1 = build("small_cnn", 2, (3, 32, 32)).blocks.block1


class Listens(Callback):
    def on_epoch_start(self, state: State) -> None:
        state.model.get_submodule("blocks.block1.0").register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("changes", [Spoils, Replaces, Listens])
def test_still_frozen_refuses_a_change_of_the_frozen_part(
    run: Callable[..., CrossValidation], changes: type[Callback]
) -> None:
    with pytest.raises(TrainingError, match="the frozen part has changed"):
        run(freeze="blocks.block2", callbacks=[changes()], folds=0)


class Asks(Callback):
    shapes: list[tuple[int, ...]] = []

    def on_epoch_end(self, state: State) -> None:
        self.shapes.append(tuple(state.model(torch.zeros(1, 3, 32, 32)).shape))


def times(factor: int) -> Callable[[Tensor], Tensor]:
    return lambda image, factor=factor: image // factor  # type: ignore[misc]


def test_features_differ_for_augmentations_with_the_same_code(
    run: Callable[..., CrossValidation], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Asks.shapes.clear()
    run(augment=times(1), views=1, folds=0, epochs=1, callbacks=[Asks()])
    assert Asks.shapes == [(1, 2)]
    assert computed(capsys.readouterr().err) == [33, 33]
    run(augment=times(9), views=1, folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == [33]
    run(augment=darker, views=1, folds=0, epochs=1)
    monkeypatch.setattr(f"{__name__}.DARK", 3)
    run(augment=darker, views=1, folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == [33, 33]


DARK = 2


def darker(image: Tensor) -> Tensor:
    return image // DARK


def viewing(classes: int) -> torch.nn.Module:
    """Returns a model that fails with images in channels-last format."""

    class Viewing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.middle = torch.nn.Conv2d(3, 4, 3, 4), torch.nn.Conv2d(4, 4, 1)
            self.head = torch.nn.Linear(4 * 64, classes)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.middle(self.body(images)).view(-1, 4 * 64))
            return logits

    return Viewing()


def test_features_of_a_model_that_calls_view(run: Callable[..., CrossValidation]) -> None:
    fields: dict[str, Any] = {"model": viewing, "weights": None, "freeze": "body", "folds": 0}
    cached, live = run(**fields), run(cache=False, **fields)
    for ours, theirs in zip(numbers(cached), numbers(live), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.slow
def test_features_key_depends_on_torch_cpu_decoder_and_memory_format(
    run: Callable[..., CrossValidation], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> list[int]:
        run(folds=0, epochs=1)
        return computed(capsys.readouterr().err)

    assert [count(), count()] == [[33], []]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "another version")
        assert count() == [33]
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another processor")
        assert count() == [33]
    with monkeypatch.context() as patch:
        patch.setitem(DECODER, "pillow", "another version")
        assert count() == [33]
    with monkeypatch.context() as patch:
        patch.setattr(planning, "supports_channels_last", lambda model, image_size, device: False)
        assert count() == [33]
    assert count() == []


def test_features_key_has_the_versions_of_the_libraries() -> None:
    assert _libraries(Experiment()) == {"torchvision": metadata.version("torchvision")}
    assert set(_libraries(Experiment(model="timm/resnet10t"))) == {"torchvision", "timm"}


@pytest.mark.slow
def test_views_depend_on_the_seed(run: Callable[..., CrossValidation], capsys: pytest.CaptureFixture[str]) -> None:
    for seed, expected in (
        (1, [33, 66]),
        (1, []),
        (2, [66]),
    ):  # features of unaugmented images do not depend on the seed
        run(augment="flip", views=2, seed=seed, folds=0, epochs=1)
        assert computed(capsys.readouterr().err) == expected


class Threads(Callback):
    seen: list[int] = []

    def on_epoch_end(self, state: State) -> None:
        self.seen.append(torch.get_num_threads())


def test_head_on_vector_features_trains_on_one_thread(run: Callable[..., CrossValidation]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for freeze, threads in ((True, 1), ("blocks.block2", 2)):
            Threads.seen.clear()
            run(freeze=freeze, folds=0, epochs=1, callbacks=[Threads()])
            assert Threads.seen == [threads]
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fast_dev_run_computes_only_the_needed_features(
    run: Callable[..., CrossValidation],
    own_cache: Path,
    scenery: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = Experiment(data=str(scenery), model="small_cnn", weights=None, image_size=32, freeze=True, batch_size=3)
    few = make_plan(base.replace(folds=0, trackers=())).shortened()
    cross_validate(few, runs=tmp_path / "runs")
    assert computed(capsys.readouterr().err) == [12]
    cross_validate(base.replace(folds=0, trackers=()), runs=tmp_path / "runs")
    assert computed(capsys.readouterr().err) == [21]  # the images that were not cached


class Brighter(Callback):
    shapes: set[tuple[int, ...]] = set()

    def on_batch_start(self, state: State) -> None:
        inputs, targets = state.batch
        self.shapes.add(tuple(inputs.shape[1:]))
        state.batch = inputs + 0.1, targets


def shaken(image: Tensor) -> Tensor:
    return torch.roll(image, int(torch.randint(0, 9, ())), 2)


def test_plan_says_why_the_frozen_part_runs_in_every_epoch(
    run: Callable[..., CrossValidation], scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def note(**fields: Any) -> str:
        base = Experiment(data=str(scenery), model="small_cnn", weights=None, image_size=32, freeze=True, folds=2)
        return " ".join(n for n in make_plan(base.replace(**fields)).notes if "every epoch" in n)

    assert note() == ""
    assert make_plan(Experiment(data=str(scenery), model="small_cnn", weights=None, freeze=True)).once
    assert note(freeze=False, augment="flip") == ""
    assert "-s views=4 stores 4 views of each image" in note(augment="flip")
    assert note(augment="flip", views=4) == ""
    assert note(augment=shaken, views=4) == ""
    assert "use a function that is defined in a file" in note(augment=torch.fliplr, views=4)
    assert "a callback may replace the images" in note(callbacks=[Brighter()])
    assert "cache=false" in note(cache=False)
    assert "cannot be traced" in note(model=branching)
    Brighter.shapes.clear()
    run(callbacks=[Brighter()], folds=0, epochs=1)
    assert Brighter.shapes == {(3, 32, 32)}
    run(augment="flip", folds=0, epochs=1)
    assert computed(capsys.readouterr().err) == []


def branching(classes: int) -> torch.nn.Module:
    class Branching(type(build("small_cnn", 2, (3, 32, 32)))):  # type: ignore[misc]
        def forward(self, images: Tensor) -> Any:
            return super().forward(images if images.mean() > 0 else -images)

    return Branching(classes)


def test_require_room_refuses_features_that_are_too_large(
    scenery: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE_GB", "0.00001")
    plan = make_plan(Experiment(data=str(scenery), model="small_cnn", weights=None, image_size=32, freeze=True))
    assert any("HARNESS_CACHE_GB=1, or freeze more" in note for note in plan.notes)


def test_cached_images_are_not_decoded_again(
    run: Callable[..., CrossValidation], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.data import check, prepare

    decoded: list[int] = []

    def counting(content: bytes) -> Any:
        decoded.append(len(content))
        return read(content)

    monkeypatch.setattr(check, "read", counting)
    monkeypatch.setattr(prepare, "read", counting)
    run(epochs=1)
    assert len(decoded) == 33
    run(epochs=5, folds=0)
    assert len(decoded) <= 33 + 8  # the first batch, for its plot
    decoded.clear()
    run(freeze=False, epochs=3, augment="flip")
    assert len(decoded) == 33
