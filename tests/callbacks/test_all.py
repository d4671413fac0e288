"""Laws that hold for every callback, whoever adds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from harness import callbacks
from harness.engine import Callback, Trainer

MAKE: dict[str, Callable[[Path], Callback]] = {
    "BestPredictions": lambda folder: callbacks.BestPredictions(),
    "EarlyStopping": lambda folder: callbacks.EarlyStopping("train_loss", patience=2, mode="max"),
    "GradientClipping": lambda folder: callbacks.GradientClipping(0.1),
    "LearningRateSchedule": lambda folder: callbacks.LearningRateSchedule(lambda o, total: StepLR(o, 1, 0.1)),
    "ModelCheckpoint": lambda folder: callbacks.ModelCheckpoint(folder, "valid_accuracy"),
    "ProgressBar": lambda folder: callbacks.ProgressBar("law"),
    "TerminateOnNaN": lambda folder: callbacks.TerminateOnNaN(),
}


def fit(callback: Callback, seed: int) -> list[dict[str, float]]:
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    points = torch.randn(20, 3)
    batches = list(zip(points.split(8), (points[:, 0] > 0).long().split(8), strict=True))
    trainer = Trainer(callbacks=[callback], device="cpu", precision="fp32")
    state = trainer.fit(model, torch.optim.SGD(model.parameters(), 0.1), batches, batches, epochs=5)
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in state.history]


def test_every_callback_is_here() -> None:
    assert sorted(MAKE) == sorted(callbacks.__all__)


@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_second_fit_is_not_touched_by_the_first(name: str, tmp_path: Path) -> None:
    used = MAKE[name](tmp_path)
    fit(used, seed=1)
    assert fit(used, seed=2) == fit(MAKE[name](tmp_path), seed=2)


@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_callback_says_what_it_is_for(name: str) -> None:
    assert len((getattr(callbacks, name).__doc__ or "").strip()) > 40
