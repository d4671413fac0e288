from __future__ import annotations

import csv
import json
import operator
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.config.experiment import Experiment
from harness.data.check import check_images
from harness.data.listing import list_images
from harness.data.loading import Batches, EpochSampler, ImageSource
from harness.data.prepare import preparation_from
from harness.data.transforms import Transform
from harness.engine import checkpoint
from harness.engine.trainer import Callback, State, Trainer
from harness.errors import TrainingError, UserCodeError
from harness.models.build import build
from harness.runs.run_folder import RunFolder
from harness.workflows.crossval import CrossValidation, cross_validate

pytestmark = pytest.mark.usefixtures("undrawn")


def run(data: Path, runs: Path, **fields: Any) -> CrossValidation:
    values = {"name": "x", "model": "small_cnn", "weights": None, "image_size": 32, "folds": 3, "batch_size": 8}
    values |= {"precision": "fp32", "epochs": 3, "lr": 0.01, "trackers": ()}
    experiment = Experiment(data=str(data), **(values | fields))
    return cross_validate(experiment, runs=runs)


def record(result: CrossValidation) -> dict[str, Any]:
    return dict(json.loads((result.run_dir / "run.json").read_text()))


def table(result: CrossValidation) -> list[dict[str, str]]:
    with (result.run_dir / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_cross_validate_writes_one_run_with_all_folds(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, epochs=6, augment="flip")
    assert result.accuracy.value > 0.7  # it learns
    assert result.run_dir.parent == tmp_path / "x"
    written = record(result)
    assert written["status"] == "finished"
    assert written["accuracy"] == result.accuracy.value
    assert written["interval"] == list(result.accuracy.interval)
    assert written["n"] == 33
    assert written["data"]["classes"] == {"forest": 15, "sea": 18}
    assert written["data"]["digest"].endswith(".dir")
    assert written["experiment"]["augment"] == "flip"
    assert written["origins"]["augment"] == "experiment file"
    assert written["versions"]["torch"]
    assert written["baseline"] == 18 / 33
    assert len(written["folds"]) == 3
    rows = table(result)
    assert sorted(row["path"] for row in rows) == sorted(list_images(scenery).paths)
    assert sum(row["label"] == row["predicted"] for row in rows) == result.accuracy.right
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [(line["fold"], line["epoch"]) for line in lines] == [(f, e) for f in (1, 2, 3) for e in range(1, 7)]
    names = [path.name for path in sorted((result.run_dir / "checkpoints").iterdir())]
    assert names == ["fold1.pt", "fold2.pt", "fold3.pt"]


def test_cross_validate_reports_numbers_of_the_saved_weights(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, precision="bf16")
    for fold in result.results:
        saved = checkpoint.load(fold.checkpoint)
        assert saved["epoch"] == fold.epoch == len(fold.history)
        assert fold.accuracy.value == fold.history[-1]["valid_accuracy"] == saved["metrics"]["valid_accuracy"]
        assert saved["classes"] == ["forest", "sea"]
        images = list_images(scenery, saved["classes"])
        preparation = preparation_from(saved["transform"])
        model = build(saved["architecture"], len(saved["classes"]), preparation.shape)
        model.load_state_dict(saved["model"])
        indices = [images.paths.index(path) for path in fold.predictions.paths]
        pixels = check_images(images, preparation).pixels
        assert pixels is not None
        source = ImageSource(pixels, Transform(preparation))
        batches = Batches(source, images.labels, EpochSampler(indices, 8, 0, shuffle=False))
        trainer = Trainer(device="cpu", precision="bf16", channels_last=True)
        again = trainer.predict(model, batches).double().softmax(1)
        assert torch.equal(again, torch.from_numpy(fold.predictions.probabilities))


def test_cross_validate_gives_the_same_numbers_with_any_workers(scenery: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"augment": "standard", "epochs": 2, "folds": 0, "model": with_dropout}
    fields["callbacks"] = [Chance()]
    first, second, helped = (run(scenery, tmp_path, workers=workers, **fields) for workers in (0, 0, 2))
    for other in (second, helped):
        assert other.predictions == first.predictions
        assert [_numbers(result.history) for result in other.results] == [_numbers(r.history) for r in first.results]
    assert first.predictions != run(scenery, tmp_path, seed=1, **fields).predictions


def with_dropout(classes: int) -> torch.nn.Module:
    model = build("small_cnn", classes, (3, 32, 32))
    model.head = torch.nn.Sequential(torch.nn.Dropout(), model.head)  # type: ignore[arg-type]
    return model


class Chance(Callback):
    """Draws from all three global random generators, as mixing of images does."""

    def on_batch_start(self, state: State) -> None:
        inputs, targets = state.batch
        if state.phase == "train":
            noise = random.random() + float(np.random.rand()) + torch.rand(1)
            state.batch = inputs + noise * 0.1, targets


def _numbers(history: tuple[dict[str, float], ...]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in history]


def test_cross_validate_of_one_fold_equals_that_fold_of_a_whole_run(scenery: Path, tmp_path: Path) -> None:
    from harness.workflows.make_plan import make_plan

    whole = run(scenery, tmp_path)
    alone = cross_validate(make_plan(whole.experiment, fold=2), runs=tmp_path)
    assert alone.predictions == whole.results[1].predictions


def test_cross_validate_warns_of_weights_trained_on_the_same_images(scenery: Path, tmp_path: Path) -> None:
    from harness.workflows.make_plan import LEAK, make_plan

    result = run(scenery, tmp_path)
    again = result.experiment.replace(weights=str(result.results[0].checkpoint))
    plan = make_plan(again)
    assert LEAK in plan.notes
    assert "head included" in plan.model.weights_note
    assert LEAK not in make_plan(result.experiment).notes


class Counting(torch.nn.Module):
    """A loss that changes when it is used."""

    calls = 0

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.nn.functional.cross_entropy(logits, targets) * (1 + self.calls / 10)


def test_cross_validate_resets_the_state_of_a_loss_in_each_fold(scenery: Path, tmp_path: Path) -> None:
    from harness.workflows.make_plan import make_plan

    whole = run(scenery, tmp_path, loss=Counting(), monitor="valid_loss")
    alone = cross_validate(make_plan(whole.experiment, fold=2), runs=tmp_path)
    assert alone.results[0].loss == whole.results[1].loss


def test_cross_validate_matches_predictions_with_their_images(scenery: Path, tmp_path: Path) -> None:
    class Turn(Callback):
        def on_batch_start(self, state: State) -> None:
            inputs, targets = state.batch
            state.batch = inputs.flip(0), targets.flip(0)

    with pytest.raises(TrainingError, match="did not use its images"):
        run(scenery, tmp_path, callbacks=[Turn()])


def test_cross_validate_refuses_a_model_that_diverges_in_its_last_step(scenery: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the valid loss is nan"):
        run(scenery, tmp_path, optimizer="sgd", lr=1e30, batch_size=100, epochs=1)
    (folder,) = (tmp_path / "x").iterdir()
    line = json.loads((folder / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["valid_loss"] is None


def test_cross_validate_records_any_stop_reason_as_text(scenery: Path, tmp_path: Path) -> None:
    class Strange(Callback):
        def on_epoch_end(self, state: State) -> None:
            state.stop(ValueError("enough"))  # type: ignore[arg-type]

    assert record(run(scenery, tmp_path, callbacks=[Strange()]))["folds"][0]["stop_reason"] == "enough"


def test_cross_validate_with_a_hold_out(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, folds=0)
    assert len(result.results) == 1
    assert result.accuracy.n == 7


class Fails(Callback):
    def __init__(self, error: BaseException, fold_epoch: int) -> None:
        self.error = error
        self.countdown = fold_epoch

    def on_epoch_end(self, state: State) -> None:
        if state.epoch == self.countdown:
            raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [(ValueError("mine"), UserCodeError, "failed"), (KeyboardInterrupt(), KeyboardInterrupt, "interrupted")],
)
def test_cross_validate_records_why_a_run_ended(
    error: BaseException, kind: type[BaseException], status: str, scenery: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind):
        run(scenery, tmp_path, callbacks=[Fails(error, 2)])
    (folder,) = (tmp_path / "x").iterdir()
    written = json.loads((folder / "run.json").read_text())
    assert written["status"] == status
    assert written["error"].startswith(kind.__name__)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"fold1.pt", "unfinished.pt"}


def test_cross_validate_copies_callbacks_for_each_fold(scenery: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(Callback):
        fits = 0

        def on_fit_start(self, state: State) -> None:
            self.fits += 1
            seen.append(self.fits)

    counts = Counts()
    run(scenery, tmp_path, callbacks=[counts], epochs=1)
    assert seen == [1, 1, 1]
    assert counts.fits == 0


def test_cross_validate_logs_history_values_of_callbacks(scenery: Path, tmp_path: Path) -> None:
    class Adds(Callback):
        def on_epoch_end(self, state: State) -> None:
            state.history[-1]["mine"] = 10.0 * state.epoch

    result = run(scenery, tmp_path, callbacks=[Adds()], epochs=2, folds=0)
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["mine"] for line in lines] == [10.0, 20.0]


def test_accuracy_weights_folds_by_their_images(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, folds=2, epochs=1)
    sizes = [fold.accuracy.n for fold in result.results]
    assert sorted(sizes) == [16, 17]
    losses = [fold.loss for fold in result.results]
    assert result.to_dict()["loss"] == pytest.approx(sum(map(operator.mul, losses, sizes)) / 33, rel=1e-9)
    assert result.to_dict()["loss"] != pytest.approx(sum(losses) / 2, rel=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "adamw", "scheduler": "cosine"},
        {"optimizer": "sgd", "scheduler": "onecycle"},
        {"scheduler": "plateau", "monitor": "valid_loss", "patience": 1},
        {"optimizer": torch.optim.RMSprop, "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR},
        {"loss": lambda logits, targets: torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)},
        {
            "model": lambda classes: build("small_cnn", classes, (3, 32, 32)),
            "freeze": "blocks.block2",
            "weights": "imagenet",
        },
        {"augment": torch.flipud},
    ],
)
def test_cross_validate_accepts_names_and_functions(fields: dict[str, Any], scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, **{"folds": 0, "epochs": 2, **fields})
    assert result.accuracy.n == 7
    assert record(result)["status"] == "finished"


def test_cross_validate_does_not_change_frozen_weights(scenes: Path, scenes_weights: Path, tmp_path: Path) -> None:
    fields = {"model": "resnet18", "weights": str(scenes_weights), "freeze": True, "folds": 0, "epochs": 1}
    (tmp_path / "few").mkdir()
    for name in ("sea", "forest"):
        (tmp_path / "few" / name).mkdir()
        for path in sorted((scenes / "train" / name).iterdir())[:20]:
            (tmp_path / "few" / name / path.name).write_bytes(path.read_bytes())
    result = run(tmp_path / "few", tmp_path, image_size=64, **{**fields, "batch_size": 16})
    start = torch.load(scenes_weights, weights_only=True)
    saved = checkpoint.load(result.results[0].checkpoint)["model"]
    assert all(torch.equal(saved[name], start[name]) for name in saved if not name.startswith("fc."))


@pytest.mark.slow
def test_cross_validate_repeats_the_same_folds_with_other_seeds(scenery: Path, tmp_path: Path) -> None:
    once = run(scenery, tmp_path, epochs=2)
    result = run(scenery, tmp_path, epochs=2, repeats=2)
    first, second = result.results[:3], result.results[3:]
    for one, alone in zip(first, once.results, strict=True):  # repeats only add
        assert np.array_equal(one.predictions.probabilities, alone.predictions.probabilities)
    for one, other in zip(first, second, strict=True):
        assert one.predictions.paths == other.predictions.paths
        assert not np.array_equal(one.predictions.probabilities, other.predictions.probabilities)
        assert one.history[0]["train_loss"] != other.history[0]["train_loss"]
    accuracy = result.accuracy
    assert (accuracy.n, accuracy.groups) == (33, None)
    assert accuracy.value == pytest.approx(sum(result.by_repeat) / 2)
    assert result.by_repeat[0] == once.accuracy.value
    assert result.numbers()["n"] == 33
    low, high = accuracy.interval
    assert once.accuracy.interval[1] - once.accuracy.interval[0] > 0.95 * (high - low)
    record = RunFolder.open(result.run_dir).record
    assert (record.n, len(record.folds), len(record.splits)) == (33, 6, 6)
    again = run(scenery, tmp_path, epochs=2, repeats=2)
    assert again.predictions == result.predictions


@pytest.mark.slow
def test_split_seed_changes_only_the_folds(scenery: Path, tmp_path: Path) -> None:
    same, other = (run(scenery, tmp_path, epochs=1, split_seed=seed) for seed in (0, 1))
    assert same.predictions == run(scenery, tmp_path, epochs=1).predictions
    assert [r.predictions.paths for r in other.results] != [r.predictions.paths for r in same.results]
    seeded = run(scenery, tmp_path, epochs=1, split_seed=0, seed=1)
    assert [r.predictions.paths for r in seeded.results] == [r.predictions.paths for r in same.results]
    assert seeded.predictions != same.predictions
