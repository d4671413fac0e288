"""Tests of predictions: they equal those of a test, for any number of images."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.data.demo import draw
from harness.data.named_images import NamedImages
from harness.errors import ModelError
from harness.models.saved import SavedModel, load_model
from harness.runs.predictions import read_csv
from harness.workflows.ensemble import fold_models
from harness.workflows.find_checkpoint import find_checkpoint
from harness.workflows.predict.ask import ask, names_model
from harness.workflows.predict.features import write_features
from harness.workflows.predict.files import array_of, as_batch, predict_files
from harness.workflows.predict.prediction import Prediction, Unreadable
from harness.workflows.predict.predictor import Predictor
from harness.workflows.test import evaluate
from tests.conftest import Tracked


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 drawn images of two classes, in one folder per class."""
    root = tmp_path_factory.mktemp("photos")
    for name, count in {"sea": 11, "forest": 8}.items():
        (root / name).mkdir()
        for number in range(count):
            draw("test", name, number).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def saved(tracked: Tracked) -> SavedModel:
    return load_model(find_checkpoint(str(tracked.run.path), Path("runs")))


def test_predict_files_gives_the_probabilities_of_a_test(
    tracked: Tracked, saved: SavedModel, photos: Path, tmp_path: Path
) -> None:
    path = find_checkpoint(str(tracked.run.path), Path("runs"))
    tested = evaluate(saved, path, photos, trackers=[], runs=tmp_path, pictures=False)
    rows = read_csv((tested.run_dir / "predictions.csv").read_bytes())
    wanted = dict(zip(rows.paths, tested.predictions.probabilities, strict=True))
    threads = torch.get_num_threads()
    answers = list(predict_files(Predictor([saved], "cpu"), NamedImages([str(photos)])))
    assert torch.get_num_threads() == threads
    assert len(answers) == 19
    for answer in answers:
        assert isinstance(answer, Prediction)
        name = Path(str(answer.path)).relative_to(photos).as_posix()
        assert np.abs(answer.values - wanted[name]).max() < 1e-5
        assert answer.values.sum() == pytest.approx(1)


def test_predictor_gives_the_same_result_in_any_batch(saved: SavedModel, photos: Path) -> None:
    predictor = Predictor([saved], "cpu")
    arrays = [array_of(path, predictor.preparation) for path in NamedImages([str(photos)])]
    images = as_batch(arrays)  # type: ignore[arg-type]
    whole = predictor.probabilities(images)
    for size in (1, 2, 7):
        parts = np.concatenate([predictor.probabilities(part) for part in images.split(size)])
        assert np.abs(parts - whole).max() < 1e-5


def test_predict_files_reports_unreadable_files_and_continues(saved: SavedModel, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    os.mkfifo(tmp_path / "pipe.jpg")
    good = photos / "sea/0.png"
    files = [tmp_path / "empty.jpg", good, tmp_path / "text.jpg", tmp_path / "cut.jpg", tmp_path / "pipe.jpg", good]
    answers = list(predict_files(Predictor([saved], "cpu"), [*files, tmp_path / "none.jpg"]))
    assert [isinstance(answer, Prediction) for answer in answers] == [False, True, False, False, False, True, False]
    reasons = [answer.why for answer in answers if isinstance(answer, Unreadable)]
    assert reasons[0] == "empty"
    assert reasons[3:] == ["not a file", "not there"]


def test_predict_files_has_few_images_in_memory(saved: SavedModel, photos: Path) -> None:
    asked = 0

    def endless() -> object:
        nonlocal asked
        while True:
            asked += 1
            yield photos / "sea/0.png"

    answers = predict_files(Predictor([saved], "cpu"), endless())  # type: ignore[arg-type]
    for _ in range(40):
        next(answers)
    assert asked < 1000 * (os.cpu_count() or 1)
    answers.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_predict_files_restores_the_threads_of_torch_after_concurrent_uses(saved: SavedModel, photos: Path) -> None:
    predictor, before = Predictor([saved], "cpu"), torch.get_num_threads()
    first, second = (predict_files(predictor, NamedImages([str(photos)])) for _ in range(2))
    next(first)
    next(second)  # it starts after the other one has set the number to 1
    assert len(list(first)) == len(list(second)) == 18
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), seen) == (before, [before])


def test_predictor_of_several_models_gives_their_mean(tracked: Tracked, photos: Path) -> None:
    runs = tracked.run.path.parents[1]
    together = ask(str(tracked.run.path), runs, ensemble=True, device="cpu")
    assert "2 models" in together.source
    assert "times as long as one" in together.notes[-1]
    assert "--ensemble" in together.notes[-1]
    paths = [tracked.run.checkpoint_of(entry) for entry in tracked.run.record.folds]
    files = list(NamedImages([str(photos)]))
    each = [[a.values for a in predict_files(Predictor([load_model(path)], "cpu"), files)] for path in paths]  # type: ignore[union-attr]
    mean = [a.values for a in predict_files(together.classifier, files)]  # type: ignore[union-attr]
    assert np.abs(np.mean(each, axis=0) - mean).max() < 1e-9


def test_ask_warns_of_a_missing_fold_model(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.workflows.predict.ask.fold_models", lambda *given: fold_models(*given)[:1])
    together = ask(str(tracked.run.path), tracked.run.path.parents[1], ensemble=True, device="cpu")
    assert "1 of the 2 fold models are missing" in together.notes


def test_predictor_refuses_models_of_other_classes(saved: SavedModel) -> None:
    with pytest.raises(ModelError, match="cannot be an ensemble"):
        Predictor([saved, dataclasses.replace(saved, classes=("sea", "forest"))], "cpu")


class Fixed(nn.Module):
    """A head whose input is (B, F), or the output of `before`."""

    def __init__(self, before: nn.Module, features: int) -> None:
        super().__init__()
        self.before = before
        self.head = nn.Linear(features, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.before(images))  # type: ignore[no-any-return]


def test_features_are_the_input_of_the_head(saved: SavedModel, photos: Path) -> None:
    predictor = Predictor([saved], "cpu")
    image = array_of(photos / "sea/0.png", predictor.preparation)
    images = as_batch([image, image])  # type: ignore[list-item]
    features = predictor.features(images)
    heads = [module for module in saved.model.modules() if isinstance(module, nn.Linear)]
    assert features.shape == (2, heads[-1].in_features)
    logits = heads[-1](torch.from_numpy(features)).detach().double() / saved.temperature
    assert np.abs(logits.softmax(1).numpy() - predictor.probabilities(images)).max() < 0.02  # the tolerance is for bf16


def test_features_of_a_model_without_a_head_raise(saved: SavedModel) -> None:
    bare = dataclasses.replace(saved, model=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(3)))
    with pytest.raises(ModelError) as error:
        Predictor([bare], "cpu").features(torch.zeros(1, *saved.transform.shape, dtype=torch.uint8))
    assert "Traceback" not in str(error.value)


def test_predictor_raises_for_nan(saved: SavedModel) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 2), float("nan"))

    broken = dataclasses.replace(saved, model=Broken())
    with pytest.raises(ModelError, match="nan or inf"):
        Predictor([broken], "cpu").probabilities(torch.zeros(1, *saved.transform.shape, dtype=torch.uint8))


def test_write_features_writes_rows_in_the_order_of_the_table(saved: SavedModel, photos: Path, tmp_path: Path) -> None:
    predictor = Predictor([saved], "cpu")
    files = [photos / "sea/0.png", tmp_path / "none.jpg", photos / "forest/1.png"]
    seen = list(write_features(predictor, files, tmp_path / "f.npy"))
    assert [isinstance(each, Unreadable) for each in seen] == [False, True, False]
    array = np.load(tmp_path / "f.npy", allow_pickle=False)
    arrays = [array_of(files[i], predictor.preparation) for i in (0, 2)]
    assert np.abs(array - predictor.features(as_batch(arrays))).max() < 1e-5  # type: ignore[arg-type]
    assert (tmp_path / "f.csv").read_text().splitlines()[1:] == [f"0,{files[0]}", f"1,{files[2]}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.csv", "f.npy"]


def test_write_features_leaves_no_file_if_interrupted(saved: SavedModel, photos: Path, tmp_path: Path) -> None:
    rows = write_features(Predictor([saved], "cpu"), [photos / "sea/0.png"] * 3, tmp_path / "f.npy")
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_names_model_distinguishes_models_from_images(tracked: Tracked, photos: Path, tmp_path: Path) -> None:
    runs = tracked.run.path.parents[1]
    (tmp_path / "model.onnx").touch()
    for text in ("champion", tracked.run.id, tracked.run.id[-4:], str(tracked.run.path), str(tmp_path / "model.onnx")):
        assert names_model(text, runs)
    for text in (str(photos), str(photos / "sea/0.png"), "*.jpg", "none.jpg", "trial-000/none.jpg", ""):
        assert not names_model(text, runs)
    shutil.copytree(tracked.run.path, tmp_path / "runs/tiny/study-tiny/trial-002")
    assert names_model("study-tiny/trial-002", tmp_path / "runs")  # as the argument of `harness test`
    assert not names_model("study-tiny/trial-003", tmp_path / "runs")
