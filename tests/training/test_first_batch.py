from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.engine.trainer import State
from harness.training.first_batch import FirstBatch


class TestFirstBatch:
    TRANSFORM = Transform(Preparation(8))

    def state(self, targets: Tensor) -> State:
        colours = torch.tensor([[255, 0, 0], [0, 255, 0]], dtype=torch.uint8).view(2, 3, 1, 1).expand(2, 3, 8, 8)
        state = State.__new__(State)
        state.__dict__ |= {"step": 0, "phase": "train", "epoch": 1}
        state.batch = self.TRANSFORM.normalise(colours), targets
        return state

    def draw(self, path: Path, targets: Tensor) -> None:
        callback = FirstBatch(path, ["a", "b" * 30], self.TRANSFORM.picture)
        state = self.state(targets)
        callback.on_fit_start(state)
        callback.on_batch_start(state)
        callback.on_epoch_end(state)

    @pytest.mark.parametrize(
        "targets", [torch.tensor([0, 1]), torch.eye(2), torch.tensor([-100, 1])], ids=["indices", "shares", "ignored"]
    )
    def test_plot_shows_the_loaded_pixels(self, targets: Tensor, tmp_path: Path) -> None:
        self.draw(tmp_path / "batch.png", targets)
        with Image.open(tmp_path / "batch.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        assert (pixels == (255, 0, 0)).all(2).sum() > 1000
        assert (pixels == (0, 255, 0)).all(2).sum() > 1000

    def test_plot_failure_is_only_a_warning(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").write_text("")
        self.draw(tmp_path / "file" / "batch.png", torch.tensor([0, 1]))
        assert "warning: plots are missing" in capsys.readouterr().err

    def test_grey_images_are_plotted(self, tmp_path: Path) -> None:
        grey = Transform(Preparation(8, channels=1))
        callback = FirstBatch(tmp_path / "batch.png", ["a", "b"], grey.picture)
        state = self.state(torch.tensor([0, 1]))
        state.batch = grey.normalise(torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)), torch.tensor([0, 1])
        callback.on_fit_start(state)
        callback.on_batch_start(state)
        callback.on_epoch_end(state)
        with Image.open(tmp_path / "batch.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        assert (pixels == (100, 100, 100)).all(2).sum() > 1000
