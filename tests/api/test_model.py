"""`harness.load_model`."""

from __future__ import annotations

import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.errors import DataError, UsageError
from harness.workflows.find_checkpoint import find_checkpoint
from tests.conftest import Tracked


@pytest.fixture(scope="module")
def model(tracked: Tracked) -> harness.Model:
    return harness.load_model(tracked.run.path, device="cpu")


@pytest.fixture(scope="module")
def files(scenery: Path) -> list[Path]:
    return sorted(path for path in scenery.rglob("*") if path.is_file())[:5]


def test_repr_has_one_line_and_no_escape_codes(model: harness.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.Model, "classes", ("sea\nside", "\x1b[31mred"))
    assert r"2 classes: sea\x0aside, \x1b[31mred; images of 32 px)" in repr(model)


def test_predict_gives_one_prediction_or_a_list(model: harness.Model, files: list[Path]) -> None:
    one = model.predict(files[0])
    assert isinstance(one, harness.Prediction)
    assert one.label in model.classes == ("forest", "sea")
    assert one.probability == max(one.probabilities.values())
    assert sum(one.probabilities.values()) == pytest.approx(1)
    several = model.predict(files)
    assert [each.path for each in several if each] == [str(path) for path in files]
    assert several[0] is not None
    assert np.abs(several[0].values - one.values).max() < 1e-5
    assert model.predict([]) == []


def test_predict_gives_the_same_for_a_path_an_array_and_an_image(model: harness.Model, files: list[Path]) -> None:
    with Image.open(files[0]) as image:
        array = np.array(image.convert("RGB"))
        given = [str(files[0]), files[0].read_bytes(), image, array, torch.from_numpy(array).permute(2, 0, 1)]
        values = [each.values for each in model.predict(given) if each]
    assert len(values) == 5
    assert np.ptp(np.array(values), axis=0).max() < 1e-6


def test_predict_raises_one_error_that_names_all_unreadable_images(
    model: harness.Model, files: list[Path], tmp_path: Path
) -> None:
    given = [files[0], tmp_path / "a.jpg", files[1], tmp_path / "b.jpg"]
    with pytest.raises(DataError) as error:
        model.predict(given)
    assert "2 of 4" in error.value.what
    assert "a.jpg" in error.value.why
    assert "b.jpg" in error.value.why
    answers = model.predict(given, on_error="none")
    assert [each is None for each in answers] == [False, True, False, True]
    assert model.predict(tmp_path / "a.jpg", on_error="none") is None
    frame = answers.to_frame()
    assert list(frame["label"].isna()) == [False, True, False, True]
    with pytest.raises(UsageError):
        model.predict(3)


def test_to_frame_has_one_row_per_image(model: harness.Model, files: list[Path]) -> None:
    frame = model.predict(files).to_frame()
    assert list(frame.columns) == ["path", "label", "probability", "p_forest", "p_sea"]
    assert (frame[["p_forest", "p_sea"]].max(axis=1) == frame["probability"]).all()
    assert list(model.predict(files).to_frame(top=2).columns)[-2:] == ["label_2", "probability_2"]


def test_features_and_module_have_the_documented_shapes(
    model: harness.Model, files: list[Path], tmp_path: Path
) -> None:
    one, several = model.features(files[0]), model.features(files[:2])
    assert one.shape == several.shape[1:]
    assert np.abs(several[0] - one).max() < 1e-2
    assert np.isnan(model.features([files[0], tmp_path / "none.jpg"], on_error="none")[1]).all()
    assert not model.module.training
    assert model.module(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_repr_html_escapes_file_names(model: harness.Model, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (40, 30), "red").save(path)
    one = model.predict(path)
    for html in (one._repr_html_(), model.predict([path])._repr_html_(), model._repr_html_()):
        assert "<img src=x" not in html
    assert "data:image/jpeg;base64," in one._repr_html_()
    assert "forest" in repr(model)
    assert "label=" in repr(one)


def test_load_model_takes_the_latest_run_and_a_checkpoint(tracked: Tracked, model: harness.Model) -> None:
    runs = tracked.run.path.parents[1]
    latest = harness.load_model(runs=runs)
    assert "the latest finished run" in latest.source
    assert latest.classes == model.classes
    with pytest.raises(UsageError, match="there is no model to use"):
        harness.load_model(runs=runs / "none")
    path = find_checkpoint(str(tracked.run.path), runs)
    assert harness.load_model(path).source == str(path)


def test_load_model_of_an_exported_file_predicts_the_same(
    tracked: Tracked, model: harness.Model, files: list[Path], tmp_path: Path
) -> None:
    exported = harness.export(model, "safetensors", tmp_path / "m.safetensors")
    again = harness.load_model(exported.path)
    assert again.classes == model.classes
    values = [[each.values for each in one.predict(files) if each] for one in (model, again)]
    assert np.abs(np.array(values[0]) - np.array(values[1])).max() < 0.02  # the run may be in bf16
    with pytest.raises(harness.HarnessError, match="features"):
        again.features(files[0])


def test_load_model_and_predict_change_no_state_of_the_process(tracked: Tracked, files: list[Path]) -> None:
    def state() -> list[object]:
        return [
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), torch.get_num_threads(),
            torch.is_grad_enabled(), signal.getsignal(signal.SIGINT), threading.active_count(), warnings.filters[:],
        ]  # fmt: skip

    before = state()
    model = harness.load_model(tracked.run.path, device="cpu")
    model.predict(files[0])
    model.predict(files)
    assert state() == before


def test_predict_ignores_train_mode_default_dtype_and_autocast(tracked: Tracked, files: list[Path]) -> None:
    model = harness.load_model(tracked.run.path, device="cpu")
    expected = model.predict(files[0]).values
    weights = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.module.train()  # as after a few training steps
    try:
        torch.set_default_dtype(torch.float64)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.predict(files[0]).values
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(found, expected)
    assert all(torch.equal(value, weights[name]) for name, value in model.module.state_dict().items())


def test_predict_refuses_an_unknown_on_error(model: harness.Model) -> None:
    with pytest.raises(UsageError, match="skip"):
        model.predict("a.jpg", on_error="skip")  # type: ignore[call-overload]


def test_load_model_takes_a_file_extension_in_capitals(tracked: Tracked, files: list[Path], tmp_path: Path) -> None:
    exported = harness.export(tracked.run.path, "safetensors", tmp_path / "m.safetensors")
    renamed = tmp_path / "M.SAFETENSORS"
    exported.path.rename(renamed)
    exported.path.with_name("m.safetensors.json").rename(tmp_path / "M.SAFETENSORS.json")
    assert not any("as it was exported" in note for note in harness.load_model(renamed).notes)
