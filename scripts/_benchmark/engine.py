"""Measures the time that the engine adds to a step: a tiny model in a bare loop, and in `Trainer` with callbacks.

Prints microseconds as JSON. Blocks of both alternate, and each pair gives one difference.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from harness.config.experiment import Experiment
from harness.data.prepare import Preparation
from harness.data.transforms import Transform
from harness.engine.callbacks import (
    EarlyStopping,
    EpochLog,
    FirstBatch,
    GradientClipping,
    KeptPredictions,
    LearningRateSchedule,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from harness.engine.trainer import Callback, Trainer
from harness.runs.record_parts import DataRecord, Status
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder, now
from harness.trackers.tracking import Tracking

STEPS, PAIRS = 2000, 15


class Nothing(nn.Module):
    """Returns two logits that do not depend on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(16, 2))

    def forward(self, _: Tensor) -> Tensor:
        return self.logits + 0


def bare(batches: list[tuple[Tensor, Tensor]], clip: bool) -> float:
    """Microseconds per step of the bare loop; `clip` adds gradient clipping."""
    model = Nothing()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    started = time.perf_counter()
    for inputs, targets in batches:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(inputs), targets).backward()
        if clip:
            clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return 1e6 * (time.perf_counter() - started) / len(batches)


def ours(batches: list[tuple[Tensor, Tensor]], callbacks: list[Callback]) -> float:
    """Microseconds per training step in `Trainer`, by the engine's own clock."""
    model = Nothing()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    trainer = Trainer(callbacks=callbacks, precision="fp32", device="cpu")
    state = trainer.fit(model, optimizer, batches, batches[:1], 1)
    return 1e6 * state.history[0]["train_seconds"] / len(batches)


def all_callbacks(run: RunFolder, tracking: Tracking) -> list[Callback]:
    """The callbacks of every run, and those that a field of an experiment switches on."""
    log = EpochLog(run.metrics)
    return [
        log,
        FirstBatch(run.plots / "batch.png", ["a", "b"], Transform(Preparation(16)).picture),
        tracking.callback(log),
        TerminateOnNaN(),
        KeptPredictions(),
        ModelCheckpoint(run.checkpoints / "model.pt"),
        LearningRateSchedule(torch.optim.lr_scheduler.CosineAnnealingLR, "batch"),
        EarlyStopping("valid_accuracy", 100),
        GradientClipping(),
        ProgressBar(),
    ]


def main() -> None:
    batches = [(torch.zeros(16, 1), torch.zeros(16, dtype=torch.long)) for _ in range(STEPS)]
    os.chdir(tempfile.mkdtemp())
    record = RunRecord(
        name="engine",
        status=Status.RUNNING,
        started=now(),
        experiment=Experiment(name="engine").to_dict(),
        data=DataRecord("none", 0, {}, "0" * 32),
    )
    run = RunFolder.create(Path(), record)
    tracking = Tracking(run, ("tensorboard",))  # MLflow runs in a separate process, which only reads files
    loop, every = [], []
    for _ in range(PAIRS):
        with contextlib.redirect_stderr(io.StringIO()):
            loop.append(ours(batches, []) - bare(batches, clip=False))
            every.append(ours(batches, all_callbacks(run, tracking)) - bare(batches, clip=True))
    seconds = {"loop": statistics.median(loop), "all callbacks": statistics.median(every)}
    print(json.dumps({name: round(value, 1) for name, value in seconds.items()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
