"""Laws that every callback must obey. A new callback gets a row in `MAKE`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

import harness
from harness.engine import callbacks, checkpoint
from harness.engine.trainer import Callback, Trainer

MAKE: dict[str, Callable[[Path], Callback]] = {
    "EarlyStopping": lambda folder: harness.EarlyStopping("valid_loss", patience=1),
    "EpochLog": lambda folder: harness.EpochLog(folder / "metrics.jsonl"),
    "FitCheckpoint": lambda folder: harness.FitCheckpoint(folder / "unfinished.pt"),
    "FirstBatch": lambda folder: harness.FirstBatch(folder / "batch.png", ["a", "b"], lambda x: x.byte()),
    "GradientClipping": lambda folder: harness.GradientClipping(0.1),
    "KeptPredictions": lambda folder: harness.KeptPredictions("valid_accuracy"),
    "LearningRateSchedule": lambda folder: harness.LearningRateSchedule(lambda o, total: StepLR(o, 1, 0.1)),
    "ModelCheckpoint": lambda folder: harness.ModelCheckpoint(folder / "model.pt", "valid_accuracy"),
    "ProgressBar": lambda folder: harness.ProgressBar("law"),
    "TerminateOnNaN": lambda folder: harness.TerminateOnNaN(),
}


def fit(callback: Callback, seed: int, good: bool = True) -> dict[str, Any]:
    """Returns the outcome of a fit with a callback: the history, the callback's results, and the files it wrote."""
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    points = torch.randn(20, 3)
    targets = (points[:, 0] > 0).long()
    batches = list(zip(points.split(8), targets.split(8), strict=True))
    trainer = Trainer(callbacks=[callback], device="cpu", precision="fp32")
    state = trainer.fit(model, torch.optim.SGD(model.parameters(), 2.0 if good else 1e-4), batches, batches, epochs=5)
    rows = [{name: value for name, value in row.items() if "seconds" not in name} for row in state.history]
    return {
        "history": rows,
        "stop": state.stop_reason,
        "epoch": getattr(callback, "epoch", None),
        "logits": getattr(callback, "logits", torch.zeros(0)).tolist(),
        "saved": _saved(callback.path if isinstance(callback, harness.ModelCheckpoint) else None),
    }


def _saved(path: Path | None) -> list[Any]:
    if path is None:
        return []
    content = checkpoint.load(path)
    return [content["epoch"], content["model"]["weight"].tolist()]


def test_every_callback_has_a_row() -> None:
    assert sorted(MAKE) == sorted([*callbacks.__all__, "FirstBatch"])


@pytest.mark.parametrize("name", sorted(MAKE))
def test_callback_starts_each_fit_without_old_state(name: str, tmp_path: Path) -> None:
    used = MAKE[name](tmp_path)
    fit(used, seed=1, good=True)  # better than the second fit, so that state kept by mistake shows
    assert fit(used, seed=2, good=False) == fit(MAKE[name](tmp_path), seed=2, good=False)


@pytest.mark.parametrize("name", sorted(MAKE))
def test_callback_has_a_docstring(name: str) -> None:
    assert len((getattr(harness, name).__doc__ or "").strip()) > 40
