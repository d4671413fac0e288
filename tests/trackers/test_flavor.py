"""The code that is written with a model is complete, and its requirements can be installed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import harness
from harness.trackers.mlflow import flavor
from tests.test_rooms import imports

ROOT = Path(harness.__file__).parent


def test_code_lists_all_files_that_served_imports() -> None:
    needed, seen = ["trackers/mlflow/served.py"], set()
    while needed:
        name = needed.pop()
        seen.add(name)
        for module in imports(Path(name)):
            path = "/".join(module.split(".")[1:]) + ".py"
            if module.startswith("harness.") and path not in seen and (ROOT / path).is_file():
                needed += [] if name == "data/prepare.py" and path == "config/experiment.py" else [path]
    assert seen == set(flavor.CODE)
    assert "if TYPE_CHECKING:" in (ROOT / "data/prepare.py").read_text()  # that import is only for type checkers


def test_write_code_writes_a_package_that_imports_nothing_of_harness(tmp_path: Path) -> None:
    package = flavor.write_code(tmp_path)
    assert flavor.write_code(tmp_path / "again") == package
    files = sorted(path.relative_to(tmp_path / package).as_posix() for path in (tmp_path / package).rglob("*.py"))
    assert files == sorted(flavor.CODE)
    for path in (tmp_path / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "harness"
    assert sum(path.stat().st_size for path in (tmp_path / package).rglob("*.py")) < 120_000


def test_write_code_names_other_code_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = flavor.write_code(tmp_path)
    monkeypatch.setattr(flavor, "CODE", flavor.CODE[1:])
    assert flavor.write_code(tmp_path) != before


def test_requirements_can_be_installed_from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flavor, "_version", lambda name: {"torch": "2.9.0+cpu", "tifffile": "2025.1"}.get(name, ""))
    assert flavor._requirements() == ["torch==2.9.0", "tifffile==2025.1"]


class Fixed(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images + torch.zeros(2, 3, 8, 8)).flatten(1)[:, :2]


def test_require_exportable_refuses_a_model_for_one_number_of_images() -> None:
    with pytest.raises(flavor.FixedBatchError, match="any number of images"):
        flavor.require_exportable(Fixed(), flavor.traced_input((3, 8, 8)))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    flavor.require_exportable(model.eval(), flavor.traced_input((3, 8, 8)))
