"""Tests of exported files: they compute the same as their model, describe themselves, and are refused if changed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.errors import GateError, HarnessError, ModelError, UsageError
from harness.models.build import build
from harness.models.export_record import json_beside, record_from
from harness.models.saved import SavedModel
from harness.runs import looks
from harness.runs.exports import made_export
from harness.workflows.experiment_copy import UntrustedError
from harness.workflows.export import int8, parts
from harness.workflows.export.check import Agreement
from harness.workflows.export.load import is_exported, load_exported
from harness.workflows.export.resize import require_mode, resize_model
from harness.workflows.export.write import export
from harness.workflows.find_model import FoundModel, find_model
from tests.conftest import Tracked, write_experiment
from tests.exports import FORMATS, exported_folder, found_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tracked: Tracked) -> Path:
    return exported_folder(tmp_path_factory, tracked)


@pytest.fixture
def there(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of exported files, which is the current folder."""
    monkeypatch.chdir(exported)
    return exported


def of_module(model: nn.Module, folder: Path, size: int = 32, architecture: str = "mine", **fields: Any) -> FoundModel:
    """A model without a run."""
    saved = SavedModel(model.eval(), architecture, ("a", "b"), Transform(Preparation(size)), {}, None, None, **fields)
    path = folder / "weights.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    return FoundModel(saved, path, "a test's")


def probabilities_of(saved: SavedModel, images: Tensor) -> Any:
    with torch.inference_mode():
        logits = saved.model(saved.transform.normalise(images)).double()
    return (logits / saved.temperature).softmax(1).numpy()


@pytest.mark.parametrize("kind", FORMATS)
def test_load_exported_gives_the_probabilities_of_the_model_for_any_batch(
    kind: str, there: Path, tracked: Tracked
) -> None:
    found, loaded = found_model(tracked), load_exported(FORMATS[kind])
    assert loaded.classes == ("forest", "sea")
    assert loaded.transform == found.saved.transform
    assert loaded.temperature == found.saved.temperature
    for size in (1, 2, 5, 33):
        images = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8)
        probabilities = loaded.probabilities(images)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities, probabilities_of(found.saved, images), atol=1e-6)
    with pytest.raises(ModelError, match="does not accept these images"):
        loaded.probabilities(torch.zeros(1, 3, 31, 32, dtype=torch.uint8))


def test_record_has_the_origin_and_no_path_of_this_machine(there: Path, tracked: Tracked) -> None:
    run = tracked.run.record
    for name in FORMATS.values():
        record = record_from(json_beside(Path(name)).read_text())
        assert (record.origin.run, record.origin.data, record.origin.n) == (tracked.run.id, run.data.digest, run.n)
        assert record.origin.accuracy == run.accuracy
        assert record.classes == ["forest", "sea"]
        assert record.origin.versions["torch"]
        content = Path(name).read_bytes() + json_beside(Path(name)).read_bytes()
        assert not [word for word in (str(ROOT), str(Path.home()), str(there), sys.prefix) if word.encode() in content]
    with zipfile.ZipFile("model.pt2") as archive:
        (inside,) = [part for part in archive.namelist() if part.endswith("/extra/harness.json")]
        assert record_from(archive.read(inside).decode()).kind == "pt2"


def test_code_of_the_page_needs_neither_torch_nor_harness(there: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/export.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in program.splitlines() if line]) == 10
    photo = next((there / "test/sea").iterdir())
    without_size = "".join(line for line in program.splitlines(True) if "resize(" not in line and "height" not in line)
    forbid = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.partition('.')[0] in ('torch', 'harness'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
    )
    for name, code in (("model.onnx", program), ("resize.onnx", without_size)):
        code = code.replace("photo.jpg", str(photo)).replace("shop.onnx", str(there / name)).replace(".round(3)", "")
        command = [sys.executable, "-I", "-c", forbid + code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        printed = eval(done.stdout)
        loaded = load_exported(name)
        image = torch.from_numpy(loaded.transform.preparation.decode(photo.read_bytes())).permute(2, 0, 1)[None]
        (expected,) = loaded.probabilities(image)
        assert list(printed) == list(loaded.classes)
        np.testing.assert_allclose(list(printed.values()), expected, atol=1e-5 if name == "model.onnx" else 1e-2)


def test_load_exported_refuses_a_changed_file(there: Path, tmp_path: Path) -> None:
    for name in FORMATS.values():
        content = bytearray(Path(name).read_bytes())
        content[len(content) // 2] ^= 1
        changed = tmp_path / name
        changed.write_bytes(content)
        json_beside(changed).write_bytes(json_beside(Path(name)).read_bytes())
        with pytest.raises(ModelError, match="was changed after its export"):
            load_exported(changed)


def test_load_exported_refuses_a_wrong_description(there: Path, tmp_path: Path) -> None:
    def with_changes(name: str, **changes: object) -> Path:
        path = tmp_path / name
        path.write_bytes(Path(name).read_bytes())
        said = json.loads(json_beside(Path(name)).read_text())
        json_beside(path).write_text(json.dumps({**said, **changes}))
        return path

    for name in ("model.onnx", "model.safetensors"):
        with pytest.raises(ModelError, match="is not about"):
            load_exported(with_changes(name, classes=["a", "b", "c"]))
    with pytest.raises(ModelError, match="does not contain a small_cnn"):
        load_exported(with_changes("model.pth", classes=["a", "b", "c"]))
    with pytest.raises(ModelError, match=r"cannot be read[\s\S]*architecture is 7"):
        load_exported(with_changes("model.pth", architecture=7))
    for classes in (["a", "a"], ["a/b"], [], "sea", ["x" * 300]):
        with pytest.raises(ModelError, match="cannot be read"):
            load_exported(with_changes("model.pth", classes=classes))
    for temperature in (0, -1, float("nan"), 1e30, "1"):
        with pytest.raises(ModelError, match="cannot be read"):
            load_exported(with_changes("model.pth", temperature=temperature))
    json_beside(tmp_path / "model.pth").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="cannot be read"):
        load_exported(tmp_path / "model.pth")


def test_load_exported_checks_an_onnx_file_without_its_description(there: Path, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "model.onnx"
    path.write_bytes(Path("model.onnx").read_bytes())
    assert load_exported(path).classes == ("forest", "sea")  # the metadata contain it

    model = onnx.load("model.onnx")
    for entry in model.metadata_props:
        entry.value = entry.value.replace('["forest", "sea"]', '["forest", "sea", "sky"]')
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="its description has 3 classes"):
        load_exported(path)

    model = onnx.load("model.onnx")
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="reads weights from other files"):
        load_exported(path)

    model = onnx.load("model.onnx")
    max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data)).dims[0] = 2**36  # missing numbers
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="damaged"):
        load_exported(path)

    for content in (b"", b"PK\x03\x04", Path("model.onnx").read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(ModelError):
            load_exported(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_load_exported_runs_no_code_of_a_foreign_pt2_file(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    evil = tmp_path / "evil.pt2"
    with zipfile.ZipFile("model.pt2") as sound, zipfile.ZipFile(evil, "w") as archive:
        for part in sound.namelist():
            content = sound.read(part)
            archive.writestr(part, pickle.dumps(Evil()) if part.endswith("sample_inputs/model.pt") else content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrustedError, match="can run code"):
        load_exported(evil)
    assert not Path("pwned").exists()
    with pytest.raises(UntrustedError):
        load_exported(there / "model.pt2")  # another project's
    assert load_exported(there / "model.pt2", trust=True).classes == ("forest", "sea")


def test_is_exported_uses_the_name_or_the_description(there: Path, tmp_path: Path) -> None:
    assert all(is_exported(Path(name)) for name in FORMATS.values())
    assert not is_exported(tmp_path / "weights.pth")


class FixedBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.reshape(3, -1))


class DependsOnValues(FixedBatch):
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits if images.mean() > 0 else -logits


class Numpys(FixedBatch):
    def forward(self, images: Tensor) -> Tensor:
        return self.layer(torch.from_numpy(images.detach().numpy().copy()).flatten(1))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (FixedBatch, "for batches of any size"),
        (DependsOnValues, "depends on the values of its input"),
        (Numpys, "cannot be exported"),
    ],
)
def test_export_explains_why_a_forward_pass_cannot_be_exported(
    model: Callable[[], nn.Module], says: str, tmp_path: Path
) -> None:
    images = torch.zeros(3, 3, 32, 32)
    assert model()(images).shape == (3, 2)
    found = of_module(model(), tmp_path)
    record = dataclasses.replace(parts.new_record(found, "pt2"))
    with pytest.raises(ModelError, match=says) as failure:
        parts.make_content(found.saved, record)
    assert len(str(failure.value).splitlines()) == 3


def test_export_refuses_a_dtype_that_onnxruntime_does_not_run(tmp_path: Path) -> None:
    class Half(FixedBatch):
        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images.flatten(1).to(torch.bfloat16))

    found = of_module(Half().to(torch.bfloat16), tmp_path)
    with pytest.raises(ModelError, match="bfloat16"):
        export(found, "onnx", tmp_path / "x.onnx")
    assert not list(tmp_path.glob("x*"))


def test_export_of_a_compiled_module(tmp_path: Path) -> None:
    model = build("small_cnn", 2, (3, 32, 32))
    found = of_module(torch.compile(model), tmp_path, architecture="small_cnn")
    assert export(found, "safetensors", tmp_path / "x.safetensors").agreement.agree == 64
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert state
    assert "_orig_mod" not in (tmp_path / "x.safetensors").read_bytes().decode("latin-1")


def test_export_writes_nothing_if_the_file_disagrees(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(saved: SavedModel, record: Any) -> bytes:
        weights = {name: torch.randn_like(value.float()).abs() for name, value in saved.model.state_dict().items()}
        import io

        buffer = io.BytesIO()
        torch.save(weights, buffer)
        return buffer.getvalue()

    monkeypatch.setattr("harness.workflows.export.write.make_content", other)
    with pytest.raises(GateError, match="does not compute the same as its model"):
        export(found_model(tracked), "state_dict", tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []


def test_export_reports_a_comparison_on_noise(tmp_path: Path) -> None:
    found = of_module(build("small_cnn", 2, (3, 32, 32)), tmp_path, architecture="small_cnn")
    agreement = export(found, "state_dict", tmp_path / "x.pth").agreement
    assert agreement.is_noise
    assert "64 images of noise" in str(agreement)


def test_export_keeps_names_in_any_alphabet_and_weights_in_any_order(tmp_path: Path) -> None:
    names = ("Société Générale", "海 🌊", "a'b\"c", "{0: 'x'}")
    model = build("small_cnn", 4, (3, 32, 32)).to(memory_format=torch.channels_last)
    found = of_module(model, tmp_path, architecture="small_cnn")
    found = dataclasses.replace(found, saved=dataclasses.replace(found.saved, classes=names))
    for kind in ("safetensors", "state_dict"):
        path = tmp_path / FORMATS[kind]
        assert export(found, kind, path).agreement.agree == 64
        assert load_exported(path).classes == names
        json_beside(path).read_bytes().decode("ascii")


def test_weights_content_accepts_shared_weights(tmp_path: Path) -> None:
    from safetensors.torch import load

    from harness.workflows.export.bare_weights import weights_content

    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    record = parts.new_record(of_module(model, tmp_path), "safetensors")
    loaded = load(weights_content(model, record))
    assert torch.equal(loaded["0.weight"], loaded["1.weight"])


def test_export_refuses_a_model_that_gives_nan(tmp_path: Path) -> None:
    model = build("small_cnn", 2, (3, 32, 32))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="returns nan or inf for 64 of 64 images"):
        export(of_module(model, tmp_path, architecture="small_cnn"), "safetensors", tmp_path / "x.safetensors")
    assert not list(tmp_path.glob("x*"))


def test_export_replaces_a_file_only_with_force(tracked: Tracked, tmp_path: Path) -> None:
    found, path = found_model(tracked), tmp_path / "x.pth"
    path.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        export(found, "state_dict", path)
    assert path.read_text() == "mine"
    export(found, "state_dict", path, force=True)
    assert load_exported(path).classes == ("forest", "sea")
    path.unlink()
    with pytest.raises(UsageError, match=r"x\.pth\.json already exists"):
        export(found, "state_dict", path)


def test_export_int8_excludes_test_images_from_calibration_and_counts_a_test(
    there: Path, tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = found_model(tracked)
    exported = export(found, "onnx", "int8.onnx", int8=True, data=there / "test")
    assert exported.int8 is not None
    assert exported.int8.comparison.n == 8
    assert exported.int8.looks is not None
    assert exported.int8.looks.tests == 2  # the model, and the file
    assert len([line for line in looks.FILE.read_text().splitlines() if '"test"' in line]) == 2
    assert exported.bytes < (there / "model.onnx").stat().st_size / 2
    loaded = load_exported("int8.onnx")
    assert loaded.record.int8 == exported.int8.record
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    np.testing.assert_allclose(loaded.probabilities(images), probabilities_of(found.saved, images), atol=0.1)


def test_calibration_images_excludes_test_images(tracked: Tracked, scenery: Path) -> None:
    found = found_model(tracked)
    from harness.workflows.images_to_test import images_to_test

    everything = int8.calibration_images(found.saved, None)
    assert len(everything) == 33
    tested = images_to_test(found.saved, scenery, False, False)
    with pytest.raises(HarnessError, match="can be used for calibration"):
        int8.calibration_images(found.saved, tested)


def test_evaluate_int8_refuses_a_significantly_worse_model(
    tracked: Tracked, scenery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.workflows.images_to_test import images_to_test

    monkeypatch.chdir(tmp_path)
    saved = found_model(tracked).saved
    tested = images_to_test(saved, scenery, False, False)
    labels = iter(tested.images.labels)

    def right(images: Tensor) -> Tensor:
        return torch.eye(2)[[next(labels) for _ in images]]

    def wrong(images: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    with pytest.raises(GateError, match="the int8 model is significantly worse"):
        int8.evaluate_int8(saved, "0" * 64, tested, right, wrong, 1)


def test_require_similar_refuses_other_predictions() -> None:
    few, many = (Agreement("images", 64, agree, 0.1, 1.0, False) for agree in (60, 61))
    int8.require_similar(many, "x.onnx")
    with pytest.raises(GateError, match="predicts other classes"):
        int8.require_similar(few, "x.onnx")


@pytest.mark.parametrize("rule", ["squash", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_resize_model_resizes_as_pillow_does(rule: str, interpolation: str) -> None:
    from harness.workflows.export.onnx_file import session

    random = np.random.default_rng(0)
    for size, share, channels in ((24, 1.0, 3), ((20, 33), 0.875, 3), ((20, 33), 0.6, 1)):
        preparation = Preparation(size, rule, share, interpolation, channels=channels, background="#1080f0")
        resize = session(resize_model(preparation).SerializeToString(), "resize")
        for sides in ((24, 24), (37, 51), (100, 33), (5, 90), (1, 9)):
            from PIL import Image

            picture = random.integers(0, 256, (*sides, channels), np.uint8)
            (made,) = resize.run(None, {"images": picture[None]})
            expected = preparation.array(Image.fromarray(picture.squeeze(2) if channels == 1 else picture))
            gap = np.abs(made[0].astype(int) - expected)
            assert made[0].shape == expected.shape
            # on noise, a wrong size or a crop shifted by one pixel gives a mean of 60
            assert gap.max() <= {"nearest": 0, "bilinear": 1, "bicubic": 20}[interpolation], (sides, size)
            assert gap.mean() < 0.5


def test_require_mode_refuses_unsupported_interpolation() -> None:
    for preparation in (Preparation(interpolation="lanczos"), Preparation(interpolation="bicubic", antialias=False)):
        with pytest.raises(UsageError, match="cannot resize by"):
            require_mode(preparation)


OWN = """
from torch import nn

class Mine(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, images):
        return self.body(images)

def mine(classes):
    return Mine(classes)

"""


@pytest.mark.slow
def test_export_of_weights_needs_the_code_of_the_module(
    project: Path, call: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "experiments/own.py"
    write_experiment(path, next((project / "experiments").iterdir()).parent, epochs=1, folds=0)
    text = (project / "experiments/tiny.py").read_text().replace("model='small_cnn'", "model=mine")
    path.write_text(text.replace("\nexperiment", OWN + "\nexperiment"))
    assert call("run", "own").code == 0
    found = find_model()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    expected = probabilities_of(found.saved, images)
    for kind, name in FORMATS.items():
        assert export(found, kind, name).agreement.agree == 33
    path.unlink()
    for name in ("model.onnx", "model.pt2"):
        np.testing.assert_allclose(load_exported(name).probabilities(images), expected, atol=1e-6)
    with pytest.raises(ModelError, match="needs its experiment's file"):
        load_exported("model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_16"]
)
def test_export_of_each_family_agrees_in_onnx_and_pt2(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    found = of_module(
        build(architecture, 2, (3, 64, 64)), tmp_path, 64, architecture=architecture, temperature=1.5, is_refit=True
    )
    for kind, name in (("onnx", "model.onnx"), ("pt2", "model.pt2")):
        exported = export(found, kind, name)
        assert (exported.agreement.agree, exported.agreement.n) == (64, 64)
        assert exported.agreement.probabilities < 1e-4
    assert made_export(json.loads(Path("model.pt2.json").read_text())["sha256"])
