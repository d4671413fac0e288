from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix

from harness.config.experiment import Experiment
from harness.data.demo import draw
from harness.data.prepare import preparation_of
from harness.errors import DataError, ModelError, UsageError
from harness.evaluation.gate import Gate
from harness.models.saved import load_model
from harness.runs.predictions import read_csv
from harness.workflows.crossval import cross_validate
from harness.workflows.experiment_copy import model_function
from harness.workflows.find_checkpoint import find_checkpoint
from harness.workflows.test import Evaluation, evaluate
from tests.conftest import Tracked, write_experiment


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 images of sea and 6 of forest, on which no model was trained."""
    root = tmp_path_factory.mktemp("unseen")
    for name, count in {"sea": 9, "forest": 6}.items():
        (root / name).mkdir()
        for number in range(count):
            draw("test", name, number).save(root / name / f"{number}.png")
    return root


def evaluate_run(tracked: Tracked, data: Path | None, runs: Path, **options: Any) -> Evaluation:
    path = find_checkpoint(str(tracked.run.path), runs)
    return evaluate(load_model(path), path, data, trackers=[], runs=runs, **options)


def test_evaluate_computes_its_numbers_from_the_predictions(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    evaluation = evaluate_run(tracked, unseen, tmp_path)
    rows = read_csv((evaluation.run_dir / "predictions.csv").read_bytes())
    labels, predicted = ([rows.classes[i] for i in column] for column in (rows.labels, rows.predicted))
    numbers = json.loads((evaluation.run_dir / "metrics.json").read_text())
    whole = evaluation.to_dict()
    assert whole.pop("looks")["tests"] > 0  # no result: a pipeline's metrics stay the same when they are made again
    assert numbers == whole
    assert numbers["n"] == 15
    assert numbers["accuracy"] == accuracy_score(labels, predicted)
    assert numbers["misclassification_rate"] == sum(a != b for a, b in zip(labels, predicted, strict=True)) / 15
    assert numbers["confusion"]["classes"] == ["forest", "sea"]
    assert numbers["confusion"]["counts"] == confusion_matrix(labels, predicted, labels=["forest", "sea"]).tolist()
    assert {name: score["support"] for name, score in numbers["per_class"].items()} == {"forest": 6, "sea": 9}
    assert numbers["interval"][0] < numbers["accuracy"] < numbers["interval"][1]
    plots = {path.stem for path in (evaluation.run_dir / "plots").iterdir()}
    assert plots == {"abstention", "confusion", "confusion_normalised", "precision_recall", "reliability", "errors"}
    record = json.loads((evaluation.run_dir / "run.json").read_text())
    assert (record["kind"], record["status"], record["accuracy"]) == ("test", "finished", numbers["accuracy"])


def test_evaluate_gives_the_logits_of_training(tracked: Tracked, scenery: Path, tmp_path: Path) -> None:
    """On the validation images of its fold, a test gives the logits of the run."""
    evaluation = evaluate_run(tracked, scenery, tmp_path, allow_leak=True)
    best = tracked.run.best_fold()
    assert best is not None
    ours = dict(zip(evaluation.predictions.paths, evaluation.uncalibrated, strict=True))
    own = tracked.run.predictions().of_fold(best.fold)
    assert len(own) == best.n > 10
    for path, shares in zip(own.paths, own.probabilities, strict=True):
        assert ours[path] == pytest.approx(shares, abs=1e-5)


def test_evaluate_loss_is_the_mean_cross_entropy(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    evaluation = evaluate_run(tracked, unseen, tmp_path)
    logs = evaluation.predictions.of_true_class
    mean = -torch.tensor(logs, dtype=torch.float64).log().mean().item()
    assert evaluation.scores.metrics["log_loss"] == pytest.approx(mean)
    assert evaluation.scores.after.log_loss == pytest.approx(mean)
    assert evaluation.model.temperature == tracked.run.record.temperature != 1
    assert evaluation.numbers()["temperature"] == evaluation.model.temperature


def test_evaluate_uses_the_gate_of_the_experiment_or_the_given_one(
    tracked: Tracked, unseen: Path, tmp_path: Path
) -> None:
    evaluation = evaluate_run(tracked, unseen, tmp_path)
    assert evaluation.gate.least == 0.7
    exactly = evaluate_run(tracked, unseen, tmp_path, gate=Gate(evaluation.accuracy.value))
    assert exactly.passed  # "at least"
    above = evaluate_run(tracked, unseen, tmp_path, gate=Gate(evaluation.accuracy.value + 1e-9))
    assert not above.passed
    recorded = above.to_dict()["gate"]
    assert (recorded["passed"], recorded["min_accuracy"]) == (False, evaluation.accuracy.value + 1e-9)
    assert [floor["name"] for floor in recorded["floors"]] == ["accuracy"]


def test_evaluate_refuses_or_records_training_images(
    tracked: Tracked, unseen: Path, scenery: Path, tmp_path: Path
) -> None:
    assert evaluate_run(tracked, unseen, tmp_path).notes == ()
    with pytest.raises(DataError, match="the model was trained on all of these 33 images"):
        evaluate_run(tracked, scenery, tmp_path)
    mixed = Path(shutil.copytree(unseen, tmp_path / "mixed"))
    Image.open(next((scenery / "sea").iterdir())).save(mixed / "sea/known.png")  # other bytes, the same pixels
    with pytest.raises(DataError, match="trained on 1 of these 16 images") as caught:
        evaluate_run(tracked, mixed, tmp_path)
    assert caught.value.exit_code == 4
    assert "sea/known.png" in caught.value.why
    evaluation = evaluate_run(tracked, mixed, tmp_path, allow_leak=True)
    assert evaluation.leaked == ("sea/known.png",)
    assert evaluation.notes[0].startswith("the model was trained on 1 of these 16 images (--allow-leak)")
    record = json.loads((evaluation.run_dir / "run.json").read_text())
    assert (record["leaked"], record["data"]["leaked"]) == (1, 1)


def test_evaluate_refuses_a_missing_class_without_allow_missing(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    half = Path(shutil.copytree(unseen, tmp_path / "half"))
    shutil.rmtree(half / "sea")
    with pytest.raises(DataError, match="sea"):
        evaluate_run(tracked, half, tmp_path)
    evaluation = evaluate_run(tracked, half, tmp_path, allow_missing=True)
    assert "no image of sea" in evaluation.notes[0]
    assert evaluation.to_dict()["per_class"]["sea"]["recall"] is None


def test_evaluate_refuses_or_skips_an_image_that_cannot_be_decoded(
    tracked: Tracked, unseen: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(unseen, tmp_path / "copy"))
    (copy / "sea/0.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 15 images"):
        evaluate_run(tracked, copy, tmp_path)
    evaluation = evaluate_run(tracked, copy, tmp_path, skip_corrupt=True)
    assert evaluation.accuracy.n == 14
    assert "sea/0.png" in evaluation.notes[0]


def test_evaluate_refuses_a_class_without_readable_images(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(unseen, tmp_path / "copy"))
    for path in (copy / "sea").iterdir():
        path.write_bytes(b"garbage")
    with pytest.raises(DataError, match="no images of sea"):
        evaluate_run(tracked, copy, tmp_path, skip_corrupt=True)
    assert "no image of sea" in evaluate_run(tracked, copy, tmp_path, skip_corrupt=True, allow_missing=True).notes[1]
    for path in (copy / "forest").iterdir():
        path.write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"no image of .* is left"):
        evaluate_run(tracked, copy, tmp_path, skip_corrupt=True, allow_missing=True)


def test_evaluate_writes_to_the_given_folder_again(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert evaluate_run(tracked, unseen, tmp_path, out=tmp_path / "out").run_dir == tmp_path / "out"
    assert json.loads((tmp_path / "out/metrics.json").read_text())["n"] == 15


def test_evaluate_overwrites_no_run(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    before = (tracked.run.path / "run.json").read_bytes()
    with pytest.raises(UsageError, match="cannot be the folder of a test"):
        evaluate_run(tracked, unseen, tmp_path, out=tracked.run.path)
    assert (tracked.run.path / "run.json").read_bytes() == before


def test_find_checkpoint_refuses_runs_without_a_model(tracked: Tracked, unseen: Path, tmp_path: Path) -> None:
    test = evaluate_run(tracked, unseen, tmp_path)
    with pytest.raises(UsageError, match="has no model to test"):
        find_checkpoint(str(test.run_dir), tmp_path)
    with pytest.raises(UsageError, match="is not a run folder"):
        find_checkpoint("nothing", tmp_path)


def test_evaluate_builds_a_users_model_from_the_copy_of_its_file(scenery: Path, unseen: Path, tmp_path: Path) -> None:
    file = write_experiment(tmp_path / "mine.py", scenery)
    text = file.read_text().replace("model='small_cnn'", "model=mine").replace("weights=None, ", "")
    layers = "nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))"
    own = f"from torch import nn\n\ndef mine(classes):\n    return {layers}\n\n"
    file.write_text(own + text)
    from harness.config.experiment_file import load

    experiment: Experiment = load(file)
    result = cross_validate(experiment.replace(epochs=1), runs=tmp_path / "runs", source=file)
    path = find_checkpoint(str(result.run_dir), tmp_path)
    saved = load_model(path, function=model_function(path))
    assert evaluate(saved, path, unseen, runs=tmp_path, trackers=[]).accuracy.n == 15
    (result.run_dir / "experiment.py").unlink()
    with pytest.raises(ModelError, match="cannot be built"):
        load_model(path, function=model_function(path))


@pytest.mark.parametrize(
    "fields",
    [
        {"resize": "crop", "image_size": (32, 40), "interpolation": "bicubic"},
        pytest.param({"resize": "pad", "background": "black", "antialias": False}, marks=pytest.mark.slow),
        pytest.param({"channels": 1, "augment": "standard"}, marks=pytest.mark.slow),
    ],
    ids=lambda fields: "-".join(map(str, fields)),
)
def test_evaluate_prepares_images_as_in_training(fields: dict[str, Any], scenery: Path, tmp_path: Path) -> None:
    """In darknet 3157, training and test resized images in different ways, and no error was raised."""
    wide = tmp_path / "wide"
    for path in scenery.rglob("*.jpg"):
        (wide / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(path).crop((0, 10, 48, 37)).save(wide / path.parent.name / f"{path.stem}.png")
    values = {"model": "small_cnn", "weights": None, "image_size": 32, "epochs": 1, "folds": 2, "precision": "fp32"}
    experiment = Experiment(name="x", data=str(wide), trackers=(), **values | fields)
    result = cross_validate(experiment, runs=tmp_path / "runs")
    own = result.results[0]
    saved = load_model(own.checkpoint)
    assert saved.transform.preparation == preparation_of(experiment)
    evaluation = evaluate(saved, own.checkpoint, wide, allow_leak=True, runs=tmp_path, trackers=[])
    again = dict(zip(evaluation.predictions.paths, evaluation.uncalibrated, strict=True))
    for path, shares in zip(own.predictions.paths, own.predictions.probabilities, strict=True):
        assert again[path] == pytest.approx(shares, abs=1e-5)


def test_evaluate_groups_images_by_a_pattern_that_may_not_match(unseen: Path, scenery: Path, tmp_path: Path) -> None:
    values = {"model": "small_cnn", "weights": None, "image_size": 32, "epochs": 1, "folds": 2, "precision": "fp32"}
    experiment = Experiment(name="x", data=str(scenery), groups=r"(?:sea|forest)(\d)", trackers=(), **values)
    path = cross_validate(experiment, runs=tmp_path / "runs").results[0].checkpoint
    evaluation = evaluate(load_model(path), path, scenery, allow_leak=True, runs=tmp_path, trackers=[])
    assert evaluation.accuracy.groups == 2
    other = evaluate(load_model(path), path, unseen, runs=tmp_path, trackers=[])
    assert other.accuracy.groups is None
    assert "finds no group for 15 images, so each image is its own group" in other.notes[0]


def test_evaluate_of_a_model_with_inner_class_folders_accepts_outer_ones(
    unseen: Path, scenery: Path, tmp_path: Path
) -> None:
    for name in ("sea", "forest"):
        for site in ("a", "b"):
            shutil.copytree(scenery / name, tmp_path / "sites" / site / name)
    values = {"model": "small_cnn", "weights": None, "image_size": 32, "epochs": 1, "folds": 2, "precision": "fp32"}
    experiment = Experiment(name="x", data=str(tmp_path / "sites"), class_folder="inner", trackers=(), **values)
    path = cross_validate(experiment, runs=tmp_path / "runs").results[0].checkpoint
    assert evaluate(load_model(path), path, unseen, runs=tmp_path, trackers=[]).accuracy.n == 15
