from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from harness.config.experiment import Experiment
from harness.engine.trainer import Trainer
from harness.errors import TrainingError
from harness.models.build import build
from harness.training.compile_model import BreakEven, compile_model
from harness.workflows.crossval import cross_validate


def test_break_even_text() -> None:
    assert "saves time after 40 steps" in str(BreakEven(before=0.5, after=0.25, compiling=10))
    assert "saves no time here" in str(BreakEven(before=0.5, after=0.5, compiling=10))


def test_compile_model_refuses_a_model_that_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(torch.nn.Linear):
        def compile(self, *args: object, **kwargs: object) -> None:
            def refuse(*_: object) -> None:
                raise RuntimeError("no compiler\nand more")

            monkeypatch.setattr(Stubborn, "forward", refuse)

    batch = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)
    with pytest.raises(TrainingError, match="the model cannot be compiled") as caught:
        compile_model(Stubborn(3, 2), Trainer(device="cpu", precision="fp32"), batch)
    assert caught.value.why == "no compiler"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("cl") is None, reason="there is no C++ compiler")
def test_compiled_model_learns_the_same(scenery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = Experiment(
        data=str(scenery), model="small_cnn", weights=None, image_size=32, folds=0, epochs=2, batch_size=13,
        precision="fp32", trackers=(),
    )  # fmt: skip
    results = [cross_validate(base.replace(compile=on), runs=tmp_path / str(on)) for on in (False, True)]
    assert "compiling took" in capsys.readouterr().err
    losses = [[row["train_loss"] for row in run.results[0].history] for run in results]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    content = torch.load(results[1].results[0].checkpoint, weights_only=True)
    assert set(content["model"]) == set(build("small_cnn", 2, (3, 32, 32)).state_dict())
