"""Tests on a GPU, if there is one. They run in a separate process, because the test suite hides the GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SCRIPT = """
import sys, torch
from harness import Callback, Trainer
class Watch(Callback):
    def on_batch_end(self, state):
        assert state.loss.is_cuda and state.logits.dtype == torch.float32
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2))
model(torch.zeros(1, 3, 8, 8))
images = torch.randn(64, 3, 8, 8)
batches = list(zip(images.split(16), (images[:, 0].mean((1, 2)) > 0).long().split(16)))
trainer = Trainer(callbacks=[Watch()], device="cuda", precision=sys.argv[1], channels_last=True)
state = trainer.fit(model, torch.optim.Adam(model.parameters(), 1e-2), batches, batches, 30)
assert state.scaler.is_enabled() == (sys.argv[1] == "fp16")
assert state.history[-1]["valid_accuracy"] > 0.9, state.history[-1]
assert trainer.predict(model, batches).shape == (64, 2)
"""


EXPERIMENTS = """
import sys, tempfile
from pathlib import Path
from harness import Experiment, cross_validate
precision, data = sys.argv[1:]
values = dict(data=data, model="small_cnn", weights=None, image_size=32, folds=0, epochs=2, batch_size=8, trackers=())
def run(**fields):
    result = cross_validate(Experiment(precision=precision, **values, **fields), runs=tempfile.mkdtemp())
    return [row["valid_loss"] for row in result.results[0].history]
near = 1e-4 if precision == "fp32" else 2e-2
for fields in ({"freeze": "blocks.block2"}, {"freeze": True, "augment": "flip", "views": 2}):
    cached, live = run(**fields), run(cache=False, **fields)
    assert all(abs(a - b) < near for a, b in zip(cached, live)), (cached, live)
for fields in ({}, {"augment": "standard"}, {"augment": "standard", "workers": 0}):
    assert len(run(**fields)) == 2
"""


@cache
def _has_gpu() -> bool:
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], env=_visible(), check=False).returncode == 0


def _visible() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_on_a_gpu(precision: str) -> None:
    if not _has_gpu():
        pytest.skip("there is no GPU")
    subprocess.run([sys.executable, "-c", SCRIPT, precision], env=_visible(), check=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_experiments_on_a_gpu(precision: str, scenery: Path) -> None:
    if not _has_gpu():
        pytest.skip("there is no GPU")
    subprocess.run([sys.executable, "-c", EXPERIMENTS, precision, str(scenery)], env=_visible(), check=True)
