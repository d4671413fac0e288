"""`harness export` on the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness.engine import checkpoint
from harness.models.export_record import json_beside
from harness.models.portable import Portable
from harness.util.packages import install_command
from harness.workflows.export.load import load_exported
from tests.conftest import Outcome, Tracked

Call = Callable[..., Outcome]
Arrange = Callable[[Path], list[object]]  # (a valid checkpoint) -> arguments after `harness export`


@pytest.fixture
def model(tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint. The current folder is empty."""
    monkeypatch.chdir(tmp_path)
    return tracked.run.checkpoint_of(tracked.run.best_fold() or {})


def test_export_prints_inputs_and_agreement(call: Call, model: Path) -> None:
    done = call("export", model, "--to", "state_dict", "--out", "a.pth")
    assert done.code == 0, done.err
    assert (
        "float32 (batch, 3, 32, 32): RGB images of 32 x 32 pixels, normalised per channel: (values / 255 - mean) / std"
        in done.out
    )
    assert "33 of 33 predictions agree with the model's (33 images of " in done.out
    assert "a.pth (0.4 MB), a.pth.json" in done.out
    assert sorted(path.name for path in Path().iterdir()) == ["a.pth", "a.pth.json"]


def test_export_prints_json(call: Call, model: Path) -> None:
    done = call("export", model, "--to", "safetensors", "--json")
    printed = json.loads(done.out)
    assert printed["path"] == "tiny.safetensors"  # the experiment's name
    assert (printed["agree"], printed["n"], printed["noise"]) == (33, 33, False)
    assert printed["largest_difference"]["probabilities"] < 1e-6
    assert printed["description"] == json.loads(Path("tiny.safetensors.json").read_text())
    assert printed["bytes"] == Path("tiny.safetensors").stat().st_size


def test_export_uses_the_latest_finished_run_by_default(
    call: Call, tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("export", "--to", "state_dict", "--runs", tracked.project / "runs")
    assert done.code == 0, done.err
    assert "the latest finished run; there is no champion" in done.out
    assert load_exported("tiny.pth").record.origin.run == tracked.run.id


def test_export_escapes_control_characters_in_names(call: Call, model: Path) -> None:
    content = checkpoint.load(model)
    del content["format"]
    checkpoint.save(Path("evil.pt"), {**content, "classes": ["sea\x1b[2J\nerror: forged", "=cmd()"], "shared": None})
    done = call("export", "evil.pt", "--to", "safetensors", "--out", "a.safetensors")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert r"sea\x1b[2J\x0aerror: forged, =cmd()" in done.out
    content = Path("a.safetensors").read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    assert b"\x1b" not in header + Path("a.safetensors.json").read_bytes()
    assert load_exported("a.safetensors").classes == ("sea\x1b[2J\nerror: forged", "=cmd()")


@pytest.mark.slow
def test_export_benchmark_measures_each_format(call: Call, model: Path) -> None:
    done = call("export", model, "--benchmark", "--json")
    assert done.code == 0, done.err
    measured = json.loads(done.out)["benchmark"]
    rows = {row["format"]: row for row in measured["rows"]}
    assert list(rows) == ["PyTorch fp32", "onnx", "onnx int8", "pt2", "state_dict", "safetensors"]
    assert all(row["images_per_second"] > 0 and not row["problem"] for row in rows.values())
    assert rows["onnx int8"]["bytes"] < rows["onnx"]["bytes"] / 2
    assert list(Path().iterdir()) == []
    table = call("export", model, "--benchmark").out.splitlines()
    assert table[0].startswith("format")
    assert len(table) == 8


@dataclass(frozen=True)
class Case:
    name: str
    code: int
    says: str
    arrange: Arrange


def already_there(model: Path) -> list[object]:
    Path("a.pth").write_text("mine")
    return [model, "--to", "state_dict", "--out", "a.pth"]


def read_only(model: Path) -> list[object]:
    """A folder that cannot be written: one without write permission, or one in /sys if the tests run as root."""
    folder = Path("/sys/kernel") if os.geteuid() == 0 else Path("locked")
    folder.mkdir(mode=0o555, exist_ok=True)
    return [model, "--to", "state_dict", "--out", folder / "a.pth"]


def of_another_program(model: Path) -> list[object]:
    torch.save({"weight": torch.zeros(3, 3)}, "a.pt")
    return ["a.pt", "--to", "state_dict", "--classes", "a,b", "--model", "small_cnn"]


def cut_short(model: Path) -> list[object]:
    Path("a.pt").write_bytes(model.read_bytes()[:300])
    return ["a.pt", "--to", "onnx"]


def no_images(model: Path) -> list[object]:
    for name in ("sea", "forest"):
        Path("data", name).mkdir(parents=True)
        Path("data", name, "a.jpg").write_text("no image")
    return [model, "--to", "state_dict", "--data", "data"]


CASES = [
    Case("no format", 2, "needs --to FORMAT", lambda model: [model]),
    Case("an unknown format", 2, "'--to'", lambda model: [model, "--to", "tflite"]),
    Case("an output that exists", 2, "a.pth already exists", already_there),
    Case(
        "a folder that is not there",
        2,
        "the folder no/such does not exist",
        lambda model: [model, "--to", "state_dict", "--out", "no/such/a.pth"],
    ),
    Case(
        "a device", 2, "it is a folder, a pipe or a device", lambda m: [m, "--to", "state_dict", "--out", "/dev/full"]
    ),
    Case("a folder as output", 2, "cannot be written", lambda m: [m, "--to", "state_dict", "--out", ".", "--force"]),
    Case("another ending", 2, "does not end in .onnx", lambda model: [model, "--to", "onnx", "--out", "a.pt"]),
    Case("a read-only folder", 1, "cannot be written", read_only),
    Case("weights of another program", 2, "a.pt", of_another_program),
    Case("a truncated checkpoint", 2, "a.pt cannot be read", cut_short),
    Case("an exported file", 2, "is not a model to export", lambda model: ["a.onnx", "--to", "pt2"]),
    Case("no such model", 2, "nobody", lambda model: ["nobody", "--to", "onnx"]),
    Case("files that are not images", 4, "can be decoded", no_images),
    Case("a folder of no images", 4, "nothing", lambda model: [model, "--to", "state_dict", "--data", "nothing"]),
    Case("int8 of another format", 2, "--int8 is not possible", lambda model: [model, "--to", "pt2", "--int8"]),
    Case(
        "resizing of another format",
        2,
        "--with-preprocessing is not possible",
        lambda model: [model, "--to", "safetensors", "--with-preprocessing"],
    ),
    Case("int8 without test images", 2, "no images to test on", lambda model: [model, "--to", "onnx", "--int8"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_export_refuses_bad_input_in_three_lines(case: Case, call: Call, model: Path) -> None:
    arguments = case.arrange(model)
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    done = call("export", *arguments)
    assert done.code == case.code, done.err
    assert [line.split(":")[0].strip() for line in done.error_lines] == ["error", "why", "try"]
    assert case.says in " ".join(done.error_lines)
    assert done.out == ""
    assert "Traceback" not in done.err
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


def test_export_of_int8_refuses_images_that_the_model_was_trained_on(call: Call, model: Path, scenery: Path) -> None:
    done = call("export", model, "--to", "onnx", "--int8", "--data", scenery)
    assert done.code == 4
    assert "the model was trained on" in done.error_lines[0]
    assert not list(Path().iterdir())


def test_export_to_a_full_disk_leaves_nothing(call: Call, model: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    Path("a.pth").write_text("mine")
    json_beside(Path("a.pth")).write_text("mine, too")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        done = call("export", model, "--to", "state_dict", "--out", "a.pth", "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.code == 1, done.err
    assert len(done.error_lines) == 3
    assert {path.name: path.read_text() for path in Path().iterdir()} == {"a.pth": "mine", "a.pth.json": "mine, too"}


def test_export_to_onnx_without_its_packages_says_what_to_install(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = call("export", model, "--to", "onnx")
    assert done.code == 2
    assert done.error_lines[0] == "error: ONNX needs onnxscript"
    assert install_command("onnx") in done.error_lines[2]


def test_export_that_cannot_be_compared_names_the_reason(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Portable, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(images.permute(0, 3, 1, 2).float())  # without the normalisation
        return logits, logits.softmax(1)

    monkeypatch.setattr(Portable, "forward", forward)
    done = call("export", model, "--to", "pt2")
    assert done.code == 3
    assert "does not compute the same as its model, and is not written" in done.error_lines[0]
    assert not list(Path().iterdir())
