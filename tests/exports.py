"""The exported files that tests look at, made once from one small run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.data.demo import draw
from harness.workflows.export.write import export
from harness.workflows.find_model import FoundModel, find_model
from tests.conftest import Tracked, made_once

FORMATS = {"onnx": "model.onnx", "pt2": "model.pt2", "state_dict": "model.pth", "safetensors": "model.safetensors"}


def found_model(tracked: Tracked) -> FoundModel:
    return find_model(str(tracked.run.checkpoint_of(tracked.run.best_fold() or {})))


def exported_folder(factory: pytest.TempPathFactory, tracked: Tracked) -> Path:
    """A folder with the model in each format, and `resize.onnx`, which resizes; and with new images in `test/`."""

    def make(folder: Path) -> None:
        before = Path.cwd()
        os.chdir(folder)
        try:
            found = found_model(tracked)
            for kind, name in FORMATS.items():
                export(found, kind, name)
            export(found, "onnx", "resize.onnx", with_preprocessing=True)
            for label in ("sea", "forest"):
                Path("test", label).mkdir(parents=True)
                for number in range(4):
                    size = (48 + 7 * number, 60)
                    draw("test", label, number).resize(size).save(Path("test", label, f"{number}.png"))
        finally:
            os.chdir(before)

    return made_once(factory, "exported", make)
